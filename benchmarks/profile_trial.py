"""Where the time of a trial goes, stage by stage: python benchmarks/profile_trial.py [n_trials=50] [overrides ...]

Each figure is the time in that stage alone, without the stages within it, per trial after the first five. The search
is `hparams_search=mlp`; whatever else is said goes to its command line.
"""

import contextlib
import functools
import importlib
import runpy
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

N_WARM_UP = 5  # trials that import, compose and allocate what the others find there
ROOT = Path(__file__).resolve().parent.parent

# What is timed, from the outside in: label, module, function.
STAGES = [
    ("Optuna: ask, tell", "optuna.study._optimize", "_run_trial"),
    ("Optuna: sampler", "optuna.Trial", "_suggest"),
    ("storage: write", "optuna.storages.JournalStorage", "_write_log"),
    ("storage: read", "optuna.storages.JournalStorage", "_sync_with_backend"),
    ("journal: lock", "lightsweep.sweeper.journal.RepairingLock", "acquire"),
    ("journal: lock", "lightsweep.sweeper.journal.RepairingLock", "release"),
    ("Hydra: config of the job", "lightsweep.sweeper.job_config.CachedConfigLoader", "load_sweep_config"),
    ("Hydra: launch the job", "hydra._internal.core_plugins.basic_launcher.BasicLauncher", "launch"),
    ("Hydra: run the job", "hydra._internal.core_plugins.basic_launcher", "run_job"),
    ("Hydra: write .hydra", "hydra.core.utils", "_save_config"),
    ("Hydra: logging", "hydra.core.utils", "configure_log"),
    ("Hydra: logging", "hydra._internal.core_plugins.basic_launcher", "configure_log"),
    ("task: check the config", "lightsweep.checks", "check_config"),
    ("task: build objects", "lightsweep.build", "build"),
    ("task: outcome", "lightsweep.fitting", "outcome_of"),
    ("task: free memory", "lightsweep.app", "free_memory"),
    ("task: find the trial", "lightsweep.callbacks.pruning", "current_trial"),
    ("fit: set up, tear down", "pytorch_lightning.Trainer", "fit"),
    ("fit: epochs", "pytorch_lightning.loops.fit_loop._FitLoop", "advance"),
    ("fit: training batches", "lightsweep.model.training_steps.TrainingSteps", "_train_on_many"),
    ("fit: validation", "pytorch_lightning.loops.evaluation_loop._EvaluationLoop", "run"),
    ("fit: checkpoint", "pytorch_lightning.Trainer", "save_checkpoint"),
    ("fit: loggers", "lightsweep.logger.csv.CSVLogger", "log_metrics"),
    ("fit: loggers", "lightsweep.logger.csv.CSVLogger", "save"),
    ("fit: report, prune", "lightsweep.callbacks.pruning.PruningCallback", "on_train_epoch_end"),
    ("search: look for work", "lightsweep.sweeper.loop.TrialLoop", "_take_ticket"),
    ("search: results, progress", "lightsweep.sweeper.loop.TrialLoop", "_finished"),
]


class Stopwatch:
    """Exclusive times by label: while an inner function runs, the outer one's clock stands still."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._stack: list[str] = []
        self._since = time.perf_counter()

    def wrap(self, function: Callable[..., Any], label: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._switch(label)
            self.calls[label] += 1
            try:
                return function(*args, **kwargs)
            finally:
                self._switch(None)

        return timed

    def forget(self) -> None:
        """Begin again; stages that are under way count from now."""
        self.seconds.clear()
        self.calls.clear()
        self._since = time.perf_counter()

    def _switch(self, label: str | None) -> None:
        now = time.perf_counter()
        if self._stack:
            self.seconds[self._stack[-1]] += now - self._since
        self._since = now
        if label is None:
            self._stack.pop()
        else:
            self._stack.append(label)


def _resolve(path: str) -> Any:
    """A module, or a class in one."""
    with contextlib.suppress(ModuleNotFoundError):
        return importlib.import_module(path)
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _table(watch: Stopwatch, *, n_trials: int) -> str:
    total = sum(watch.seconds.values())
    lines = [f"{'stage':<28} {'ms/trial':>9} {'share':>6} {'calls/trial':>12}"]
    for label in dict.fromkeys(label for label, _, _ in STAGES):
        seconds = watch.seconds[label]
        lines.append(
            f"{label:<28} {1000 * seconds / n_trials:9.2f} {seconds / total:6.1%} {watch.calls[label] / n_trials:12.1f}"
        )
    lines.append(f"{'all':<28} {1000 * total / n_trials:9.2f}")
    return "\n".join(lines)


def main() -> None:
    n_trials = 50
    overrides = []
    for argument in sys.argv[1:]:
        if argument.startswith("n_trials="):
            n_trials = int(argument.removeprefix("n_trials="))
        else:
            overrides.append(argument)
    watch = Stopwatch()
    for label, owner, name in STAGES:
        there = _resolve(owner)
        setattr(there, name, watch.wrap(getattr(there, name), label))

    from lightsweep.sweeper.loop import TrialLoop

    finished = TrialLoop._finished

    def forget_warm_up(self: TrialLoop, study: Any, trial: Any) -> None:
        finished(self, study, trial)
        if trial.number == N_WARM_UP - 1:
            watch.forget()
        elif trial.number == n_trials - 1:
            print(f"\n{_table(watch, n_trials=n_trials - N_WARM_UP)}\n")

    setattr(TrialLoop, "_finished", forget_warm_up)  # noqa: B010
    with tempfile.TemporaryDirectory() as folder:
        sys.argv = [
            str(ROOT / "train.py"),
            "-m",
            "hparams_search=mlp",
            f"hydra.sweeper.n_trials={n_trials}",
            f"hydra.sweep.dir={folder}/search",
            *overrides,
        ]
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
