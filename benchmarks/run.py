"""Times Lightsweep beside its yardsticks, in turn: python benchmarks/run.py [--pairs 5] [--only digits workers ...]

Prints the table. With `--save` it is also kept as benchmarks/results.md and benchmarks/results.json; what is left out
with `--only` keeps its former row there. Torch has one thread in every process. Where the time of a trial goes:
benchmarks/profile_trial.py.
"""

import argparse
import datetime
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna
from omegaconf import OmegaConf

from lightsweep.storage.storage import open_storage

HERE = Path(__file__).resolve().parent
TRAIN = [sys.executable, str(HERE.parent / "train.py")]
SEARCH = [*TRAIN, "-m", "hparams_search=mlp", "confirm=off"]
PLAIN = [sys.executable, str(HERE / "plain.py")]
TEMPLATE = [sys.executable, str(HERE / "template.py")]
NO_PRUNING = "hydra/sweeper/pruner=none"
PACKAGES = ("torch", "pytorch-lightning", "hydra-core", "hydra-optuna-sweeper", "optuna")
N_SAMPLES = 60_000


@dataclass
class Row:
    """One line of the table: medians, and the ratio of each pair; a goal is the ratio to stay below, or to reach."""

    work: str
    against: str
    goal: str
    unit: str
    ours: float
    yardstick: float
    ratios: list[float]

    @staticmethod
    def of(work: str, against: str, goal: str, pairs: Sequence[tuple[float, float]], *, unit: str = "s") -> "Row":
        ours, yardsticks = zip(*pairs, strict=True)
        ratios = [mine / other for mine, other in pairs]
        return Row(work, against, goal, unit, statistics.median(ours), statistics.median(yardsticks), ratios)

    def line(self) -> str:
        low, middle, high = min(self.ratios), statistics.median(self.ratios), max(self.ratios)
        return (
            f"| {self.work} | {self.against} | {self.ours:.3g} {self.unit} | {self.yardstick:.3g} {self.unit}"
            f" | {low:.2f} | **{middle:.2f}** | {high:.2f} | {len(self.ratios)} | {self.goal} |"
        )


class Bench:
    """Runs commands in an empty folder and keeps what they reached."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.quality: dict[str, list[tuple[float, float]]] = {"ours": [], "plain": []}
        self._n = 0

    def seconds(self, command: Sequence[str]) -> float:
        return self.run(command)[0]

    def plain(self, *arguments: str) -> float:
        seconds, output = self.run([*PLAIN, *arguments])
        reached = json.loads(output.splitlines()[-1])
        if "digits" in arguments:
            self.quality["plain"].append((reached["best_value"], reached["test_acc"]))
        return seconds

    def template(self, *overrides: str) -> float:
        return self.seconds([*TEMPLATE, *overrides, f"hydra.sweep.dir={self._new_folder()}"])

    def search(self, *overrides: str) -> tuple[float, Path]:
        """The seconds of a whole search, and its folder."""
        folder = self._new_folder()
        return self.seconds([*SEARCH, *overrides, f"hydra.sweep.dir={folder}"]), folder

    def _new_folder(self) -> Path:
        self._n += 1
        return self.folder / str(self._n)

    def run(self, command: Sequence[str]) -> tuple[float, str]:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what Python compiles once per installation is not timed
        start = time.perf_counter()
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
        print(f"  {seconds:7.2f} s  {' '.join(Path(part).name for part in command[1:])}", file=sys.stderr, flush=True)
        return seconds, done.stdout


def digits(bench: Bench, n_pairs: int) -> list[Row]:
    rounds = []
    for seed in range(n_pairs):
        plain = bench.plain("--data", "digits", "--seed", str(seed))
        off, _ = bench.search(NO_PRUNING, f"seed={seed}")
        pruned, folder = bench.search(f"seed={seed}")
        rounds.append((off, pruned, plain, bench.template(f"seed={seed}")))
        reached = OmegaConf.load(folder / "optimization_results.yaml")
        bench.quality["ours"].append((reached.best_value, reached.shipped["test/acc"]))
    return _rows("digits, 50 trials", rounds, plain_goals=("1.25", "1.0"))


def large(bench: Bench, n_pairs: int) -> list[Row]:
    work = "60,000 x 784"
    ours = ["data=synthetic", f"data.n_samples={N_SAMPLES}"]
    plain = ["--data", "synthetic", "--samples", str(N_SAMPLES)]
    template = ["data=synthetic", f"n_samples={N_SAMPLES}"]
    ten, thirty = "hydra.sweeper.n_trials=10", "hydra.sweeper.n_trials=30"
    off, pruned = [], []
    for seed in map(str, range(n_pairs)):
        mine, _ = bench.search(*ours, ten, NO_PRUNING, f"seed={seed}")
        other = bench.template(*template, ten, f"seed={seed}")
        off.append((mine, bench.plain(*plain, "--trials", "10", "--seed", seed), other))
        mine, _ = bench.search(*ours, thirty, f"seed={seed}")
        pruned.append((mine, bench.plain(*plain, "--trials", "30", "--seed", seed), 3 * off[-1][2]))
    return [
        Row.of(f"{work}, 10 trials, no pruning", "plain script", "", [(r[0], r[1]) for r in off]),
        Row.of(f"{work}, 30 trials, median pruner", "plain script", "≤ 0.4", [(r[0], r[1]) for r in pruned]),
        Row.of(f"{work}, 10 trials, no pruning", "template's way", "", [(r[0], r[2]) for r in off]),
        Row.of(
            f"{work}, 30 trials, median pruner", "template's way (3 x 10)", "≤ 0.22", [(r[0], r[2]) for r in pruned]
        ),
    ]


def _rows(work: str, rounds: Sequence[tuple[float, ...]], *, plain_goals: tuple[str, str]) -> list[Row]:
    off, pruned = f"{work}, no pruning", f"{work}, median pruner"
    return [
        Row.of(off, "plain script", f"≤ {plain_goals[0]}", [(r[0], r[2]) for r in rounds]),
        Row.of(pruned, "plain script", f"≤ {plain_goals[1]}", [(r[1], r[2]) for r in rounds]),
        Row.of(off, "template's way", "", [(r[0], r[3]) for r in rounds]),
        Row.of(pruned, "template's way", "≤ 0.36", [(r[1], r[3]) for r in rounds]),
    ]


def training(bench: Bench, n_pairs: int) -> list[Row]:
    rows = []
    large = ["--samples", str(N_SAMPLES), "--epochs", "3"]
    for work, goal, arguments in (
        ("digits", "≤ 1.6", []),
        ("60,000 x 784", "≤ 1.15", large),
        ("60,000 x 784, normalization=batch", "≤ 1.15", [*large, "--normalization", "batch"]),
    ):
        command = [sys.executable, str(HERE / "training.py"), "--pairs", str(n_pairs), *arguments]
        pairs = [(1000 * mine, 1000 * loop) for mine, loop in json.loads(bench.run(command)[1].splitlines()[-1])]
        rows.append(Row.of(f"training alone, per step, {work}", "tight loop", goal, pairs, unit="ms"))
    return rows


def overhead(bench: Bench, n_pairs: int) -> list[Row]:
    """Trials that train on one batch for one epoch: all that is left is what surrounds a training."""
    tiny = ["data=synthetic", "data.n_samples=50", "data.n_features=2", "data.n_classes=2", "trainer.max_epochs=1"]
    _, folder = bench.search(*tiny, "hydra.sweeper.n_trials=2000")
    starts = [trial.datetime_start.timestamp() for trial in _trials(folder)]
    gaps = [1000 * (after - before) for before, after in itertools.pairwise(starts)]
    early, late = statistics.mean(gaps[10:30]), statistics.mean(gaps[-100:])
    return [
        Row.of("around one trial, mean of 11 to 30", "the goal", "≤ 1", [(early, 120.0)], unit="ms"),
        Row.of("around one trial, mean of the last 100 of 2,000", "of 11 to 30", "≤ 2", [(late, early)], unit="ms"),
    ]


def workers(bench: Bench, n_pairs: int) -> list[Row]:
    shared = ["hydra/launcher=processes", NO_PRUNING, "hydra.sweeper.n_trials=60"]
    pairs = []
    for seed in range(n_pairs):
        two, one = (
            _trials_per_second(bench.search(*shared, f"seed={seed}", f"hydra.sweeper.n_jobs={n}")[1]) for n in (2, 1)
        )
        pairs.append((two, one))
    return [Row.of("2 workers, trials per second once warm, no pruning", "1 worker", "≥ 1.7", pairs, unit="/s")]


def _trials_per_second(folder: Path) -> float:
    """Once every worker has imported what it needs."""
    ends = sorted(trial.datetime_complete.timestamp() for trial in _trials(folder))
    n_warm_up = 6
    seconds: float = ends[-1] - ends[n_warm_up - 1]
    return (len(ends) - n_warm_up) / seconds


def _trials(folder: Path) -> list[Any]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.load_study(study_name="mlp", storage=open_storage(str(folder / "study.journal")))
    return list(study.get_trials(deepcopy=False))


def help_text(bench: Bench, n_pairs: int) -> list[Row]:
    imports = [sys.executable, "-c", "import hydra"]
    pairs = [(bench.seconds([*TRAIN, "--help"]), bench.seconds(imports)) for _ in range(2 * n_pairs)]
    return [Row.of("train.py --help", "import hydra", "≤ 3", pairs)]


BENCHMARKS: dict[str, Callable[[Bench, int], list[Row]]] = {
    "digits": digits,
    "large": large,
    "training": training,
    "overhead": overhead,
    "workers": workers,
    "help": help_text,
}


def _commit() -> str:
    """What is measured; that the results of a part are there already does not change it."""
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)benchmarks/results.*")
    return _git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=HERE, capture_output=True, text=True, check=False).stdout.strip()


def machine() -> dict[str, str]:
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    return {
        "date": datetime.date.today().isoformat(),
        "commit": _commit(),
        "cpu": f"{cpu}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def as_markdown(results: dict[str, Any]) -> str:
    lines = [
        "| work | against | Lightsweep | yardstick | ratio min | median | max | pairs | goal |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(Row(**row).line() for benchmark in results["rows"].values() for row in benchmark["rows"]),
    ]
    if quality := results.get("quality"):
        n_seeds = quality["ours"]["n_seeds"]
        said = [f"{name} {figures['val/acc']:.4f} / {figures['test/acc']:.4f}" for name, figures in quality.items()]
        lines += [
            "",
            f"Median of the best `val/acc` / `test/acc` over {n_seeds} seeds: {', '.join(said)}. Compare the test"
            " accuracy: the `val/acc` of a trial is its best epoch's here, and its last one's in the plain script.",
        ]
    machines: dict[str, list[str]] = {}
    for name, benchmark in results["rows"].items():
        about = ", ".join(f"{key} {value}" for key, value in benchmark["machine"].items())
        machines.setdefault(about, []).append(name)
    lines += ["", *(f"{', '.join(names)}: {about}." for about, names in machines.items())]
    return "\n".join(lines) + "\n"


def quality_of(bench: Bench) -> dict[str, Any]:
    return {
        name: {
            "n_seeds": len(reached),
            "val/acc": statistics.median(value for value, _ in reached),
            "test/acc": statistics.median(test for _, test in reached),
        }
        for name, reached in bench.quality.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS))
    parser.add_argument("--save", action="store_true", help="keep the table in benchmarks/results.md and .json")
    arguments = parser.parse_args()
    kept = HERE / "results.json"
    results: dict[str, Any] = json.loads(kept.read_text()) if arguments.save else {"rows": {}}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for name in arguments.only:
            print(name, file=sys.stderr)
            rows = [asdict(row) for row in BENCHMARKS[name](bench, arguments.pairs)]
            results["rows"][name] = {"machine": machine(), "rows": rows}
            if bench.quality["ours"]:
                results["quality"] = quality_of(bench)
            results["rows"] = {key: results["rows"][key] for key in BENCHMARKS if key in results["rows"]}
            if arguments.save:
                kept.write_text(json.dumps(results, indent=1) + "\n")
                kept.with_suffix(".md").write_text(as_markdown(results))
    print(as_markdown(results))


if __name__ == "__main__":
    main()
