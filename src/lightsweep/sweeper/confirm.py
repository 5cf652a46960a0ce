"""Confirm the best trials of a search: train them, and the defaults, again with other seeds and validation splits.

A search picks the luckiest of many runs on one validation split. Trained again on other splits, the best ones are
compared without that luck ("Overtuning in Hyperparameter Optimization", AutoML 2025, arXiv 2506.19540). The runs are
the trials of a second study in the same storage, so they are started, interrupted and resumed like those of the search.
"""

import re
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import optuna
from omegaconf import DictConfig, OmegaConf
from optuna.pruners import NopPruner
from optuna.samplers import RandomSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from lightsweep.config.resampling import HOLDOUT, can_resample, n_folds_to_train
from lightsweep.direction import Direction
from lightsweep.search.checkpoints import CheckpointKeeper
from lightsweep.search.jobs import TrialJobs
from lightsweep.search.study import FINGERPRINT, open_study, record_n_trials
from lightsweep.sweeper.comparison import Candidate
from lightsweep.sweeper.config import LightsweepConf
from lightsweep.sweeper.refit import epochs_to_refit
from lightsweep.sweeper.trials import runner_of_trials
from lightsweep.trial.context import CONFIRM, confirm_study_of
from lightsweep.trial.heartbeat import Heartbeat, has_other_drivers
from lightsweep.trial.outcome import Outcome
from lightsweep.trial.status import FAIL_REASON, is_defaults, status_of
from lightsweep.trial.stop import StopReason

OVERRIDES, OF_TRIAL, SEED = "overrides", "confirms", "seed"  # user attributes of a run
SECONDS_TO_ENQUEUE = 2.0
VAL_SEEDS = 1_000_000  # added to the seed: no trial of the search has such a split, see `val_seed_of_trial`
OF_SEED = re.compile(r"\$\{[^}]*\bseed\}")
NO_PART_OF_KEY = ("confirm.", "confirm=", "hydra.", "hydra/")  # overrides that do not change a run


@dataclass(frozen=True, kw_only=True)
class ConfirmSettings:
    """The config group `confirm`, and the seeds of the search.

    `data_seeds` are the values of `data` that follow the seed. They stay, because they may draw the test rows.
    """

    top_k: int
    n_seeds: int
    seed: int
    data_seeds: Mapping[str, Any]
    resamples: bool
    n_folds: int = 1

    @classmethod
    def of(cls, config: DictConfig) -> "ConfirmSettings | None":
        """Read them from a composed config, None if nothing is to be confirmed."""
        top_k, n_seeds = (OmegaConf.select(config, f"confirm.{key}", default=0) for key in ("top_k", "n_seeds"))
        if not top_k or not n_seeds:
            return None
        return cls(
            top_k=top_k,
            n_seeds=n_seeds,
            seed=config.seed,
            data_seeds=seeds_of_data(config),
            resamples=can_resample(config),
            n_folds=n_folds_to_train(config),
        )

    @property
    def seeds(self) -> range:
        return range(self.seed + 1, self.seed + 1 + self.n_seeds)

    def overrides(self, seed: int) -> list[str]:
        """Return the overrides of a run with this seed, which trains one model also if a trial trains one per fold."""
        kept = [f"{key}={value}" for key, value in self.data_seeds.items()]
        one_split = [f"data.resampling={HOLDOUT}"] if self.n_folds > 1 else []
        return [f"seed={seed}", *kept, *one_split, *([f"data.val_seed={VAL_SEEDS + seed}"] if self.resamples else [])]


class Confirm:
    """Runs the candidates with every seed, `n_jobs` at a time. The search has one objective."""

    def __init__(
        self,
        study: optuna.Study,
        *,
        jobs: TrialJobs,
        options: ConfirmSettings,
        settings: LightsweepConf,
        storage: BaseStorage,
    ) -> None:
        self.search = study
        self.jobs = jobs
        self.storage = storage
        self.options = options
        self.settings = settings
        self.folder = jobs.sweep_dir / CONFIRM
        self.name = confirm_study_of(study.study_name)
        self.trials = candidates_of(study, top_k=options.top_k)

    def run(self, *, timeout: float | None) -> StopReason | None:
        """Run what has not been run yet. Return the reason if it ended early, as `TrialRunner.run` does."""
        self.study, is_new = self._open_study()
        if not is_new and has_other_drivers(self.search):
            time.sleep(SECONDS_TO_ENQUEUE)  # the driver that has created the study may be enqueuing the runs
        missing = self._enqueue_missing()
        if not missing:
            return None
        record_n_trials(self.study, len(self.study.get_trials(deepcopy=False)))
        print(self._announcement(missing), file=sys.stderr, flush=True)
        self._n_left, self._n_to_run = missing, missing
        keeper = CheckpointKeeper(self.folder, keep=0, directions=self.search.directions)

        def on_finished(trial: FrozenTrial) -> None:
            keeper.add(trial)
            self._print(trial)

        heartbeat = Heartbeat(self.study, interval=self.settings.heartbeat_interval)
        with (
            heartbeat.beating(),
            runner_of_trials(
                self._run_job,
                heartbeat=heartbeat,
                jobs=self.jobs,
                settings=self.settings,
                n_trials=len(self.study.get_trials(deepcopy=False)),
                timeout=timeout,
                on_finished=on_finished,
            ) as runner,
        ):
            return runner.run()

    def result(self) -> tuple[list[Candidate], list[str]]:
        """Return the candidates whose runs all ended with a value, and a text on each of the others."""
        done = {self._key(run): run for run in reversed(self._open_study()[0].get_trials(deepcopy=False))}
        candidates, failed = [], []
        for trial in self.trials:
            runs = [done.get(key) for key in self._keys(trial)]
            complete = [run for run in runs if run is not None and status_of(run) == "complete"]
            if len(complete) == len(runs):
                candidates.append(_candidate(trial, complete))
            else:
                failed.append(f"trial {trial.number}: {len(runs) - len(complete)} of {len(runs)} runs have no value")
        return candidates, failed

    def _open_study(self) -> tuple[optuna.Study, bool]:
        """Open the study of the runs. Its trials have no parameters: each is enqueued with what it is to run.

        Raises `ConfigError` if there is another study of this name.
        """
        directions = [cast(Direction, direction.name.lower()) for direction in self.search.directions]
        study, is_new = open_study(
            name=self.name, storage=self.storage, directions=directions, sampler=RandomSampler(), pruner=NopPruner()
        )
        if is_new:
            study.set_user_attr(FINGERPRINT, self.search.user_attrs.get(FINGERPRINT))
        return study, is_new

    def _enqueue_missing(self) -> int:
        """Enqueue the runs that the study does not have. Return how many are still to be run."""
        existing = {self._key(trial): trial for trial in self.study.get_trials(deepcopy=False)}
        for trial in self.trials:
            for seed, key in zip(self.options.seeds, self._keys(trial), strict=True):
                if key not in existing:
                    overrides = [*self.jobs.overrides(trial.params), *self.options.overrides(seed)]
                    self.study.enqueue_trial({}, user_attrs={OF_TRIAL: trial.number, SEED: seed, OVERRIDES: overrides})
        return sum(not trial.state.is_finished() for trial in self.study.get_trials(deepcopy=False))

    def _keys(self, trial: FrozenTrial) -> list[tuple[str, ...]]:
        return [
            key_of_run([*self.jobs.overrides(trial.params), *self.options.overrides(seed)])
            for seed in self.options.seeds
        ]

    def _key(self, run: FrozenTrial) -> tuple[str, ...]:
        return key_of_run(run.user_attrs.get(OVERRIDES, ()))

    def _run_job(self, trial: optuna.Trial) -> Outcome:
        self.jobs.sign(trial, folder=self.folder / str(trial.number))
        overrides = [*trial.user_attrs[OVERRIDES], f"hydra.sweep.subdir={CONFIRM}/{trial.number}"]
        return self.jobs.outcome(overrides, number=trial.number)

    def _announcement(self, missing: int) -> str:
        trials = [t for t in self.search.get_trials(deepcopy=False) if status_of(t) == "complete"]
        of_one = statistics.median(_seconds(trial) for trial in trials) / self.options.n_folds
        seconds = of_one * missing / (self.settings.n_jobs or 1)
        splits = "validation splits and " if self.options.resamples else ""
        numbers = ", ".join(str(trial.number) for trial in self.trials)
        defaults = " and the defaults" if any(map(is_defaults, self.trials)) else ""
        return (
            f"Confirming the best trials{defaults} ({numbers}) with {self.options.n_seeds} other {splits}seeds:"
            f" {missing} trainings, about {seconds:.0f} s. confirm=off leaves this out."
        )

    def _print(self, run: FrozenTrial) -> None:
        self._n_left -= 1
        status = status_of(run)
        result = f"{run.value:.4f}" if status == "complete" else f"{status}: {run.user_attrs.get(FAIL_REASON, '')}"
        done = f"[{self._n_to_run - self._n_left}/{self._n_to_run}]"
        of_trial, seed = run.user_attrs.get(OF_TRIAL), run.user_attrs.get(SEED)
        print(f"{done} trial {of_trial} with seed {seed}: {result}", file=sys.stderr, flush=True)


def candidates_of(study: optuna.Study, *, top_k: int) -> list[FrozenTrial]:
    """Return the best complete trials, best first, and the trial of the defaults if it is not among them."""
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if status_of(trial) == "complete"]
    sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    complete.sort(key=lambda trial: (sign * (trial.value or 0.0), trial.number))
    best: list[FrozenTrial] = []
    for trial in complete:
        if len(best) == top_k:
            break
        if trial.params not in [t.params for t in best]:
            best.append(trial)
    defaults = [trial for trial in trials if is_defaults(trial) and trial.params not in [t.params for t in best]]
    worked = [trial for trial in defaults if status_of(trial) in ("complete", "pruned")]
    return [*best, *worked[:1]] if best else []


def key_of_run(overrides: Sequence[str]) -> tuple[str, ...]:
    """Return what makes a run another one, whatever the order of the overrides."""
    return tuple(sorted(override for override in overrides if not override.startswith(NO_PART_OF_KEY)))


def seeds_of_data(config: DictConfig) -> dict[str, Any]:
    """Return the values of `data` that are interpolations of the seed, by their keys."""
    unresolved: Any = OmegaConf.to_container(config.data, resolve=False)
    keys = [f"data.{key}" for key, value in unresolved.items() if isinstance(value, str) and OF_SEED.search(value)]
    return {key: OmegaConf.select(config, key) for key in keys}


def _candidate(trial: FrozenTrial, runs: Sequence[FrozenTrial]) -> Candidate:
    sizes: list[Any] = [run.user_attrs.get("n_params") for run in runs]
    return Candidate(
        number=trial.number,
        is_defaults=is_defaults(trial),
        searched_value=trial.value if trial.state == TrialState.COMPLETE else None,
        values=tuple(float(run.value or 0.0) for run in runs),
        n_params=None if None in sizes else max(sizes),
        n_epochs=round(statistics.median(epochs_to_refit(run) for run in runs)),
    )


def _seconds(trial: FrozenTrial) -> float:
    """Return the seconds of a training of all its epochs."""
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    n_epochs = trial.user_attrs.get("n_epochs") or 1
    return seconds * max(1.0, (trial.user_attrs.get("max_epochs") or n_epochs) / n_epochs)


def time_left(timeout: float | None, *, since: float) -> float | None:
    """Return the seconds that are left of a time limit that began at `since`, None without a limit."""
    return None if timeout is None else max(0.0, timeout - (time.monotonic() - since))
