"""Measures how a search scales: python benchmarks/scaling.py [--only rates idle many] [--postgres URL] [--save].

The trials of `waiting.py` cost nothing themselves, so what is measured is the search and its engine. Engines that are
not installed are left out. With `--save` the tables are kept as benchmarks/scaling.md, which docs/scaling.md shows.
"""

import argparse
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

import optuna
import psutil
from optuna.trial import FrozenTrial, TrialState

from lightsweep.storage.storage import open_storage

HERE = Path(__file__).resolve().parent
WAITING = [sys.executable, str(HERE / "waiting.py"), "-m"]
SECONDS = 0.5
WORKERS = (1, 2, 4, 8)
TRIALS_PER_WORKER = 16
N_MANY = 10_000
N_REPORTS = 5
MANY_WORKERS = 8
PART = 1000  # trials at the beginning and at the end that are compared
ENGINES = {"processes": "workers={}", "joblib": "hydra/launcher=joblib hydra.sweeper.n_jobs={}"}
SLURM = "hydra/launcher=submitit_slurm hydra.launcher.mem_gb=null hydra.sweeper.n_jobs={}"
RAY = "hydra/launcher=ray hydra.launcher.ray.remote.num_cpus=0.1 hydra.sweeper.n_jobs={}"


@dataclass(frozen=True)
class Run:
    """The finished trials of a study, the seconds of the whole command, and the largest memory of a driver."""

    trials: list[FrozenTrial]
    seconds: float
    driver_bytes: int


class Bench:
    def __init__(self, folder: Path, postgres: str | None) -> None:
        self.folder = folder
        self.postgres = postgres
        self._n = 0

    def run(self, *overrides: str, n_drivers: int = 1, storage: str | None = None) -> Run:
        """Run a search by one or several drivers, each in a folder of its own if there are several."""
        self._n += 1
        name = f"waiting_{self._n}_{os.getpid()}"
        url = storage or str(self.folder / f"{name}.journal")
        settings = [f"hydra.sweeper.study_name={name}", f"hydra.sweeper.storage='{url}'", *overrides]
        start = time.perf_counter()
        drivers = [self._start(f"{name}_{i}", settings) for i in range(n_drivers)]
        peak = [0] * n_drivers
        watches = [threading.Thread(target=_watch, args=(driver, peak, i)) for i, driver in enumerate(drivers)]
        for watch in watches:
            watch.start()
        outputs = [driver.communicate() for driver in drivers]
        for driver, (_, error) in zip(drivers, outputs, strict=True):
            if driver.returncode:
                sys.exit(f"{' '.join(overrides)} ended with {driver.returncode}:\n{error[-3000:]}")
        seconds = time.perf_counter() - start
        trials = optuna.load_study(study_name=name, storage=open_storage(url)).trials
        print(f"  {seconds:7.1f} s  {n_drivers} x {' '.join(overrides)}", file=sys.stderr, flush=True)
        return Run([t for t in trials if t.state == TrialState.COMPLETE], seconds, max(peak))

    def _start(self, folder: str, settings: Sequence[str]) -> subprocess.Popen[str]:
        cwd = self.folder / folder
        cwd.mkdir()
        return subprocess.Popen(
            [*WAITING, *settings], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )


def _watch(driver: subprocess.Popen[str], peak: list[int], i: int) -> None:
    process = psutil.Process(driver.pid)
    while driver.poll() is None:
        try:
            peak[i] = max(peak[i], process.memory_info().rss)
        except psutil.Error:
            return
        time.sleep(0.2)


def rates(bench: Bench) -> list[str]:
    """Trials per second in the middle of a search, as a share of the ideal."""
    lines = [
        f"Trials of {SECONDS:g} s per second without start and end, and the share of workers / {SECONDS:g} s:",
        "",
        "| engine | " + " | ".join(f"{n} worker{'s' if n > 1 else ''}" for n in WORKERS) + " |",
        "| --- |" + " --- |" * len(WORKERS),
    ]
    for name, run in _engines(bench).items():
        cells = []
        for n_workers in WORKERS:
            trials = run(n_workers).trials
            rate = _rate(trials, n_workers)
            cells.append(f"{rate:.2f} ({100 * rate * SECONDS / n_workers:.0f} %)")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _engines(bench: Bench) -> dict[str, Callable[[int], Run]]:
    def by_launcher(overrides: str) -> Callable[[int], Run]:
        return lambda n: bench.run(_n_trials(n), *overrides.format(n).split())

    def by_drivers(storage: str | None) -> Callable[[int], Run]:
        return lambda n: bench.run(_n_trials(n), n_drivers=n, storage=storage)

    launchers = ENGINES | ({"Ray": RAY} if importlib.util.find_spec("ray") else {})
    engines = {name: by_launcher(overrides) for name, overrides in launchers.items()}
    if shutil.which("sinfo"):
        engines["Slurm, one job per trial"] = by_launcher(SLURM)
        engines["Slurm, 16 trials per job"] = by_launcher(f"{SLURM} hydra.sweeper.trials_per_job=16")
    engines["drivers on one journal"] = by_drivers(None)
    if bench.postgres:
        engines["drivers on PostgreSQL"] = by_drivers(bench.postgres)
    return engines


def _n_trials(n_workers: int) -> str:
    return f"hydra.sweeper.n_trials={TRIALS_PER_WORKER * n_workers}"


def _rate(trials: Sequence[FrozenTrial], n_workers: int) -> float:
    """Return the trials per second between the second trial of each worker and the last but one."""
    ends = sorted(_time(trial.datetime_complete) for trial in trials)
    ends = ends[2 * n_workers : -n_workers]
    return (len(ends) - 1) / (ends[-1] - ends[0])


def _time(moment: datetime | None) -> float:
    assert moment is not None
    return moment.timestamp()


def idle(bench: Bench) -> list[str]:
    """Idle time of workers with trials of very different length."""
    lines = [
        "Idle time of workers with trials of 0.18 to 1.8 s, from the first end to the last start of a trial:",
        "",
        "| engine | workers | idle |",
        "| --- | --- | --- |",
    ]
    for name in ("processes", *(["Ray"] if importlib.util.find_spec("ray") else [])):
        for n_workers in (2, 4):
            overrides = (ENGINES | {"Ray": RAY})[name].format(n_workers).split()
            trials = bench.run(_n_trials(n_workers), "seconds=1", "spread=10", *overrides).trials
            lines.append(f"| {name} | {n_workers} | {100 * _idle_share(trials, n_workers):.1f} % |")
    return lines


def _idle_share(trials: Sequence[FrozenTrial], n_workers: int) -> float:
    ends = sorted(_time(trial.datetime_complete) for trial in trials)
    begin, end = ends[n_workers], max(_time(trial.datetime_start) for trial in trials)
    waited = 0.0
    for trial in trials:
        done, seconds = _time(trial.datetime_complete), 2 / 11 * (1 + 9 * trial.params["x"])
        waited += max(0.0, min(done, end) - max(done - seconds, begin))
    return 1 - waited / (n_workers * (end - begin))


def many(bench: Bench) -> list[str]:
    """Many short trials in one study."""
    lines = [
        f"{N_MANY:,} trials that take no time and report {N_REPORTS} values each, by {MANY_WORKERS} workers:",
        "",
        f"| storage | finished | ms per trial, first {PART:,} | last {PART:,} | ratio | memory of driver | in all |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    storages = {"journal": None} | ({"PostgreSQL": bench.postgres} if bench.postgres else {})
    for name, storage in storages.items():
        run = bench.run(
            f"hydra.sweeper.n_trials={N_MANY}",
            f"workers={MANY_WORKERS}",
            "seconds=0",
            f"n_reports={N_REPORTS}",
            storage=storage,
        )
        whole = [t for t in run.trials if len(t.intermediate_values) == N_REPORTS]
        ends = sorted(_time(trial.datetime_complete) for trial in run.trials)
        first, last = (1000 * (part[-1] - part[0]) / (PART - 1) for part in (ends[:PART], ends[-PART:]))
        lines.append(
            f"| {name} | {len({t.number for t in whole}):,} | {first:.0f} | {last:.0f} | {last / first:.2f}"
            f" | {run.driver_bytes / 2**20:.0f} MiB | {run.seconds / 60:.0f} min |"
        )
    return lines


BENCHMARKS = {"rates": rates, "idle": idle, "many": many}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=[*BENCHMARKS])
    parser.add_argument("--postgres", help="URL of an empty PostgreSQL database")
    parser.add_argument("--save", action="store_true")
    arguments = parser.parse_args()
    parts = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), arguments.postgres)
        for name in arguments.only:
            parts.append("\n".join(BENCHMARKS[name](bench)))
            print(f"\n{parts[-1]}\n", flush=True)
    if arguments.save:
        (HERE / "scaling.md").write_text("\n\n".join([*parts, _machine()]) + "\n", encoding="utf-8")


def _machine() -> str:
    commit = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    git = shutil.which("git") and subprocess.run(commit, capture_output=True, text=True, check=False).stdout.strip()
    versions = ", ".join(f"{name} {version(name)}" for name in ("optuna", "hydra-core"))
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {versions}, commit {git}"


if __name__ == "__main__":
    main()
