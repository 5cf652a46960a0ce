"""Does a search export a better model if it confirms its best trials?

    python benchmarks/overtuning.py [--seeds 10] [--jobs 2] [--results results.jsonl] [--save]

Each way trains about as many models: `plain` exports the best of 40 trials; `confirm` runs 20 trials, and trains the
best three and the defaults again with five seeds each; `reshuffle` does that with another validation split for each
trial; `kfold` runs 8 trials of five folds. `defaults` is no search. All are tested on the same rows, which none of them
has seen. With `--results` each result is kept in a file, from which a run that was stopped goes on. With `--save` the
table is kept as benchmarks/overtuning.md.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import yaml
from sklearn import datasets

from lightsweep.config.code import versions

ROOT = Path(__file__).resolve().parents[1]
TRAIN = [sys.executable, str(ROOT / "train.py")]
N_TRIALS, N_CONFIRM, N_FOLDS = 40, 20, 5
WAYS = {
    "plain": (f"hydra.sweeper.n_trials={N_TRIALS}", "confirm=off"),
    "confirm": (f"hydra.sweeper.n_trials={N_TRIALS - N_CONFIRM}",),
    "reshuffle": (f"hydra.sweeper.n_trials={N_TRIALS - N_CONFIRM}", "data.resampling=reshuffle"),
    "kfold": (f"hydra.sweeper.n_trials={N_TRIALS // N_FOLDS}", "data.resampling=kfold", "confirm=off"),
}


@dataclass(frozen=True)
class Dataset:
    """A data set; a regression is measured by RMSE, of which less is better, a classification by accuracy."""

    name: str
    search: str
    table: Callable[[], pd.DataFrame] | None = None
    is_regression: bool = False

    @property
    def metric(self) -> str:
        return "test/rmse" if self.is_regression else "test/acc"

    @property
    def file_name(self) -> str:
        return self.name.replace(",", "").replace(" ", "_")

    def arguments(self, folder: Path) -> list[str]:
        if self.table is None:
            return ["data=digits"]
        path = folder / f"{self.file_name}.csv"
        monitor = ["monitor=val/rmse"] if self.is_regression else []
        return ["data=table", f"data.path={path}", "data.target=target", *monitor]


def _classes(n: int, **options: float) -> pd.DataFrame:
    x, y = datasets.make_classification(n, 20, n_informative=8, n_classes=3, random_state=1, **options)
    return pd.DataFrame(x).add_prefix("x").assign(target=y)


def _friedman() -> pd.DataFrame:
    x, y = datasets.make_friedman1(600, noise=1, random_state=2)
    return pd.DataFrame(x).add_prefix("x").assign(target=y)


DATASETS = (
    Dataset("digits", "mlp"),
    Dataset("600 rows, 3 classes", "table", lambda: _classes(600, flip_y=0.1)),
    Dataset("2000 rows, 3 classes", "table", lambda: _classes(2000, flip_y=0.05)),
    Dataset("600 rows, regression", "table", _friedman, is_regression=True),
    Dataset("breast cancer", "table", lambda: datasets.load_breast_cancer(as_frame=True).frame),
    Dataset("wine", "table", lambda: datasets.load_wine(as_frame=True).frame),
)


@dataclass(frozen=True)
class Measured:
    """The test metric of each way, and what the plain search found on its validation split."""

    tests: dict[str, float]
    searched: float | None


class ResultsFile:
    """What was measured before, one JSON object per line; without a path nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path and path.is_file() else []
        records = map(json.loads, lines)
        self.known = {(r["data"], r["seed"]): Measured(r["tests"], r["searched"]) for r in records}

    def measured(self, dataset: Dataset, seed: int, folder: Path) -> Measured:
        if (dataset.name, seed) not in self.known:
            measured = self.known[dataset.name, seed] = measure(dataset, seed, folder)
            if self.path is not None:
                with self.path.open("a") as file:
                    print(json.dumps({"data": dataset.name, "seed": seed, **asdict(measured)}), file=file)
        return self.known[dataset.name, seed]


def measure(dataset: Dataset, seed: int, folder: Path) -> Measured:
    shared = [*dataset.arguments(folder), f"seed={seed}"]
    run = folder / f"{dataset.file_name}_{seed}"
    single = [
        *TRAIN,
        f"hparams_search={dataset.search}",
        *shared,
        "refit=true",
        "hydra.mode=RUN",
        "hydra.run.dir=defaults",
    ]
    _run([*single, "confirm=off"], run)
    tests = {"defaults": json.loads((run / "defaults" / "metrics.json").read_text())[dataset.metric]}
    searched = 0.0
    for way, options in WAYS.items():
        _run([*TRAIN, "-m", f"hparams_search={dataset.search}", *shared, *options, f"hydra.sweep.dir={way}"], run)
        results = yaml.safe_load((run / way / "optimization_results.yaml").read_text())
        tests[way] = results["shipped"][dataset.metric]
        searched = results["best_value"] if way == "plain" else searched
    shutil.rmtree(run)
    print(dataset.name, seed, tests, file=sys.stderr, flush=True)
    return Measured(tests, searched)


def _run(command: list[str], cwd: Path) -> None:
    cwd.mkdir(exist_ok=True)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stderr[-3000:]}")


def row_of(dataset: Dataset, measured: list[Measured]) -> str:
    cells = [f"{statistics.fmean(m.tests[way] for m in measured):.4f}" for way in ("defaults", *WAYS)]
    worse = [str(sum(_is_worse(m, way, dataset) for m in measured)) for way in WAYS]
    gap = statistics.fmean(m.searched - m.tests["plain"] for m in measured if m.searched is not None)
    return f"| {dataset.name}, {len(measured)} seeds | {' | '.join(cells)} | {' / '.join(worse)} | {gap:+.4f} |"


def _is_worse(measured: Measured, way: str, dataset: Dataset) -> bool:
    sign = 1 if dataset.is_regression else -1
    return sign * (measured.tests[way] - measured.tests["defaults"]) > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--jobs", type=int, default=1, help="searches at a time")
    parser.add_argument("--results", type=Path, help="file that keeps each result")
    parser.add_argument("--save", action="store_true")
    arguments = parser.parse_args()
    results = ResultsFile(arguments.results)
    lines = [
        "Mean over the seeds on the test rows: accuracy, or RMSE of the regression.",
        "",
        f"| data | defaults | {' | '.join(WAYS)} | worse than defaults | best of plain - its test |",
        f"|{' --- |' * (len(WAYS) + 4)}",
    ]
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(arguments.jobs) as pool:
        folder = Path(temporary)
        for dataset in DATASETS:
            if dataset.table is not None:
                dataset.table().to_csv(dataset.arguments(folder)[1].partition("=")[2], index=False)
        runs = {
            dataset: [pool.submit(results.measured, dataset, seed, folder) for seed in range(1, arguments.seeds + 1)]
            for dataset in DATASETS
        }
        for dataset, futures in runs.items():
            lines.append(row_of(dataset, [future.result() for future in futures]))
            print(lines[-1], flush=True)
    used = versions()
    shown = ", ".join(f"{name} {used[name]}" for name in ("lightsweep", "torch", "optuna") if name in used)
    text = "\n".join([*lines, "", f"{os.cpu_count()} cores, {shown}"])
    print(f"\n{text}")
    if arguments.save:
        (Path(__file__).parent / "overtuning.md").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
