"""What the folder of a training recorded: its config, its metrics of each epoch, its result and its environment."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lightsweep.config.command_line import COMMAND
from lightsweep.errors import ConfigError
from lightsweep.export.model_folder import CSV_LOG
from lightsweep.export.predictor import METRICS
from lightsweep.failures import Kind
from lightsweep.files import shown
from lightsweep.logger.csv import rows_of
from lightsweep.report.formatting import printable
from lightsweep.training.environment import (
    CONFIG_FILE,
    Environment,
    config_checksum,
    facts_of,
    read_environment,
)
from lightsweep.training.fit import RESULT
from lightsweep.trial.outcome import Outcome

HYDRA_FILE = ".hydra/hydra.yaml"
ENDED_FROM_OUTSIDE = (Kind.TIMEOUT, Kind.WORKER_LOST)
NOTHING = "nothing"

Values = Mapping[tuple[int, str], Sequence[str]]  # by epoch and metric, as written, in their order


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A training as its folder tells it. `metrics` are those of the epochs, `test_metrics` those of a refit."""

    folder: Path
    cfg: DictConfig
    hydra: DictConfig
    outcome: Outcome
    metrics: Values
    test_metrics: Mapping[str, Any]
    environment: Environment | None

    @classmethod
    def read(cls, folder: Path) -> "Recorded":
        """Read the folder of a trial, of a single run, or `best/`. Nothing in it is executed.

        Raises `ConfigError` if it is none of these, has no result yet, or a file is damaged.
        """
        _check(folder)
        try:
            outcome = read_outcome(folder)
            return cls(
                folder=folder,
                cfg=_mapping(OmegaConf.load(folder / CONFIG_FILE)),
                hydra=_mapping(_mapping(OmegaConf.load(folder / HYDRA_FILE))["hydra"]),
                outcome=outcome,
                metrics=_metrics(folder / CSV_LOG),
                test_metrics=_test_metrics(folder) if outcome.test_metrics else {},
                environment=read_environment(folder),
            )
        except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError, OmegaConfBaseException) as error:
            raise ConfigError(f"{shown(folder)} can't be read as the folder of a training: {error}") from error

    @property
    def n_epochs(self) -> int | None:
        """The number of epochs after which the training ended; None if it raised, which it must do again."""
        if self.outcome.n_epochs is not None:
            return self.outcome.n_epochs
        if self.outcome.failed and self.outcome.kind not in ENDED_FROM_OUTSIDE:
            return None
        return 1 + max((epoch for epoch, _ in self.metrics), default=0)

    @property
    def epochs(self) -> set[int]:
        """The epochs that have metrics, without the number of the test after them."""
        return {epoch for epoch, _ in self.metrics if self.n_epochs is None or epoch < self.n_epochs}

    @property
    def names(self) -> set[str]:
        """The names of all metrics."""
        return {name for _, name in self.metrics} | set(self.test_metrics)


@dataclass(frozen=True)
class Difference:
    """The first value that is another one now."""

    where: str
    recorded: str
    now: str

    def __str__(self) -> str:
        return printable(f"{self.where}: recorded {self.recorded}, now {self.now}")


def read_outcome(folder: Path) -> Outcome:
    """Read `result.yaml` of a folder. Raises `OSError`, `TypeError` or `yaml.YAMLError` if that is not possible."""
    record: Any = OmegaConf.to_container(_mapping(OmegaConf.load(folder / RESULT)))
    return Outcome.from_record(record)


def first_difference(recorded: Recorded, now: Recorded) -> Difference | None:
    """Compare each value that was recorded, exactly; None if all are the same."""
    return next((each for each in _compared(recorded, now) if each.recorded != each.now), None)


def causes(recorded: Recorded, now: Recorded, *, changes: Sequence[str] = ()) -> list[str]:
    """Return what differs between both trainings, one line each. `changes` are values that the user has changed."""
    keys = [change.partition("=")[0] for change in changes]
    then, today = ({key: str(OmegaConf.select(run.cfg, key)) for key in keys} for run in (recorded, now))
    then, today = then | facts_of(recorded.environment), today | facts_of(now.environment)
    lines = [f"{name}: recorded {then[name]}, now {today.get(name)}" for name in then if then[name] != today.get(name)]
    written = (recorded.environment or {}).get("config")
    if written is not None and written != config_checksum(recorded.folder):
        lines.append(f"{CONFIG_FILE}: the file was changed after the training")
    return [printable(line) for line in lines]


def _compared(recorded: Recorded, now: Recorded) -> Iterator[Difference]:
    for (epoch, name), values in recorded.metrics.items():
        again = now.metrics.get((epoch, name), ())
        for i, value in enumerate(values):
            yield Difference(f"epoch {epoch}, {name}", value, again[i] if i < len(again) else NOTHING)
    for name, value in recorded.test_metrics.items():
        yield Difference(f"test of the model, {name}", repr(value), repr(now.test_metrics.get(name, NOTHING)))
    yield from _results(recorded.outcome, now.outcome)


def _results(recorded: Outcome, now: Outcome) -> Iterator[Difference]:
    ended_itself = not recorded.interrupted and recorded.kind not in ENDED_FROM_OUTSIDE
    if ended_itself:
        yield Difference("failure", recorded.failed or NOTHING, now.failed or NOTHING)
    if recorded.value is not None:
        yield Difference(f"best {recorded.monitor}", repr(recorded.value), repr(now.value))
        yield Difference("best epoch", str(recorded.best_epoch), str(now.best_epoch))
    for name, value in recorded.further.items():
        yield Difference(f"{name} at that epoch", repr(value), repr(now.further.get(name)))


def _check(folder: Path) -> None:
    if (folder / COMMAND).is_file():
        raise ConfigError(f"{shown(folder)} is the folder of a search; give one of its trials, such as {folder / '0'}.")
    for name in (CONFIG_FILE, HYDRA_FILE, RESULT):
        if not (folder / name).is_file():
            raise ConfigError(
                f"{shown(folder)} holds no {name}, so it is not the folder of a trial, of best/, or of a single run; or"
                " its training did not end."
            )


def _mapping(node: Any) -> DictConfig:
    if not isinstance(node, DictConfig):
        raise TypeError("a config is no mapping")
    return node


def _metrics(path: Path) -> Values:
    values: dict[tuple[int, str], list[str]] = defaultdict(list)
    for row in rows_of(path):
        for name, value in row.items():
            if name not in ("epoch", "step"):
                values[int(row["epoch"]), name].append(value)
    return dict(sorted(values.items(), key=lambda item: item[0][0]))


def _test_metrics(folder: Path) -> Mapping[str, Any]:
    return dict(json.loads((folder / METRICS).read_text(encoding="utf-8")))
