"""A tracker gets hyperparameters and outcome, and is not called any more once it has raised."""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as L
from hydra.utils import execution_whitelist
from omegaconf import OmegaConf
from pytorch_lightning.loggers import Logger, MLFlowLogger, TensorBoardLogger
from pytorch_lightning.loggers.logger import DummyLogger

from lightsweep.config.targets import ALLOWED_TARGETS
from lightsweep.errors import ConfigError
from lightsweep.failures import TrialTimeoutError
from lightsweep.logger.run import Run, flat
from lightsweep.logger.tracker import Tracker, end_trackers, start_loggers
from lightsweep.trial.outcome import Outcome
from tests.callbacks.scripted import Scripted, batches
from tests.logger.events import hyperparameters_in, metrics_in

RUN = Run(name="mlp-3", folder=Path(), hyperparameters={"model.depth": 2, "study": "mlp"}, about={"study": "mlp"})
COMPLETE = Outcome(monitor="val/acc", value=0.5, n_epochs=1)


class Recording(Logger):
    """Records what it is told, and raises in the methods named in `failing`."""

    name = version = None

    def __init__(self, failing: tuple[str, ...] = (), error: type[Exception] = ConnectionError) -> None:
        self.failing = failing
        self.error = error
        self.calls: list[str] = []
        self.hyperparameters: dict[str, Any] = {}
        self._record("__init__")

    def _record(self, name: str) -> None:
        self.calls.append(name)
        if name in self.failing:
            raise self.error("http://me:secret@host refused")

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        self._record("log_hyperparams")
        self.hyperparameters |= params

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self._record("log_metrics")

    def save(self) -> None:
        self._record("save")

    def finalize(self, status: str) -> None:
        self._record("finalize")


class Saving(Scripted):
    def __init__(self) -> None:
        super().__init__((0.1, 0.2))
        self.save_hyperparameters({"model.depth": 9, "width": 4, "nested": {"rate": 0.5}})


@pytest.fixture
def fitted(quiet_trainer: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Tracker]:
    """A function that fits a module with a tracker; `build` gives it `logger` in place of that of the node."""

    def fit(logger: Callable[..., Logger], outcome: Outcome = COMPLETE, *, kind: type = Recording) -> Tracker:
        monkeypatch.setattr("lightsweep.logger.tracker.build", lambda node, key, **arguments: logger(**arguments))
        node = OmegaConf.create({"uri": "http://me:secret@host"})
        tracker = Tracker(node, "logger.mine", kind=kind, run=RUN)
        tracker.start()
        trainer = L.Trainer(**quiet_trainer, max_epochs=2, logger=[tracker.logger])
        trainer.fit(Saving(), batches(), batches())
        tracker.end(outcome)
        return tracker

    return fit


def test_any_logger_gets_the_hyperparameters_those_of_the_module_and_the_outcome(
    fitted: Callable[..., Tracker],
) -> None:
    logger = fitted(Recording, Outcome(value=0.5, pruned="too low")).logger
    assert isinstance(logger, Recording)
    assert logger.hyperparameters == {
        "model.depth": 2,
        "study": "mlp",
        "width": 4,
        "nested.rate": 0.5,
        "state": "pruned",
        "reason": "too low",
        "value": 0.5,
    }
    assert logger.calls.count("log_metrics") == 2  # the validations
    assert logger.calls[-1] == "save"


@pytest.mark.parametrize("failing", ["log_hyperparams", "log_metrics", "save", "finalize"])
def test_a_logger_that_raises_is_warned_of_once_and_not_called_again(
    failing: str, fitted: Callable[..., Tracker], capsys: pytest.CaptureFixture[str]
) -> None:
    made: list[Recording] = []

    def make() -> Recording:
        made.append(Recording((failing,)))
        return made[-1]

    fitted(make)
    assert made[0].calls[-1] == failing
    assert made[0].calls.count(failing) == 1
    assert capsys.readouterr().err == (
        "warning: logger.mine is down; trainings go on without it: ConnectionError: http://me:***@host refused\n"
    )


def test_a_logger_that_can_not_be_built_is_replaced_by_one_that_takes_any_call(
    fitted: Callable[..., Tracker], capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = fitted(lambda: Recording(("__init__",)))
    assert isinstance(tracker.logger, DummyLogger)
    tracker.logger.experiment.add_image("image")
    assert capsys.readouterr().err.count("warning: logger.mine is down") == 1


def test_the_time_limit_of_the_trial_also_ends_a_logger_that_hangs(fitted: Callable[..., Tracker]) -> None:
    with pytest.raises(TrialTimeoutError):
        fitted(lambda: Recording(("log_metrics",), TrialTimeoutError))


@pytest.mark.parametrize(
    ("outcome", "state", "reason", "metrics"),
    [
        (COMPLETE, "complete", "", {"hp_metric": 0.5}),
        (Outcome(value=0.25, pruned="too low"), "pruned", "too low", {"hp_metric": 0.25}),
        (Outcome(failed="it broke", kind="error"), "failed", "it broke", {"hp_metric": math.nan}),
        (Outcome(failed="loss is nan", kind="diverged"), "infeasible", "loss is nan", {"hp_metric": math.nan}),
        (Outcome(test_metrics={"test/acc": 0.75}), "complete", "", {"test/acc": 0.75}),
    ],
)
def test_tensorboard_shows_hyperparameters_beside_value_and_state(
    outcome: Outcome,
    state: str,
    reason: str,
    metrics: dict[str, float],
    fitted: Callable[..., Tracker],
    tmp_path: Path,
) -> None:
    pytest.importorskip("tensorboard", reason="the extra tensorboard is not installed")
    fitted(lambda **kwargs: TensorBoardLogger(tmp_path, name="", version="", **kwargs), outcome, kind=TensorBoardLogger)
    own = {"model.depth": 2, "study": "mlp", "width": 4, "nested.rate": 0.5}
    assert hyperparameters_in(tmp_path) == {**own, "state": state, "reason": reason}
    assert metrics_in(tmp_path, list(metrics)) == pytest.approx(metrics, nan_ok=True)
    assert next(iter(hyperparameters_in(tmp_path))) == "model.depth"  # the searched ones are the first columns


def test_the_csv_file_is_no_tracker_and_a_dry_run_has_none() -> None:
    trackers: list[Tracker] = []
    csv = {"_target_": "lightsweep.logger.csv.CSVLogger", "save_dir": ".", "name": "csv", "version": ""}
    cfg = OmegaConf.create({"trainer": {}, "logger": {"csv": csv, "none": None}})
    with execution_whitelist(ALLOWED_TARGETS):
        [logger] = start_loggers(cfg, trackers)
    assert (type(logger).__module__, trackers) == ("lightsweep.logger.csv", [])
    cfg = OmegaConf.create({"trainer": {"fast_dev_run": 3}, "logger": {"mine": csv}})
    [logger] = start_loggers(cfg, trackers)
    assert (type(logger), trackers) == (DummyLogger, [])


def test_values_are_named_by_their_path_and_a_list_is_one_value() -> None:
    assert flat({"a": {"b": [1, 2], "c": {"d": None}}, "e": {}}) == {"a.b": [1, 2], "a.c.d": None, "e": {}}


def test_each_tracker_ends_although_others_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []
    errors = [ConfigError("a"), TrialTimeoutError("b"), None, KeyboardInterrupt()]

    def end(error: BaseException | None) -> None:
        ended.append(error)
        if error:
            raise error

    trackers = []
    for error in errors:
        trackers.append(Tracker(OmegaConf.create(), "logger.mine", kind=Recording, run=RUN))
        monkeypatch.setattr(trackers[-1], "end", lambda _, error=error: end(error))
    with pytest.raises(KeyboardInterrupt):
        end_trackers(trackers, COMPLETE)
    assert ended == errors


@pytest.mark.parametrize("error", [ConfigError, OSError])
def test_no_error_of_a_logger_fails_the_end_of_a_training(
    error: type[Exception], fitted: Callable[..., Tracker], capsys: pytest.CaptureFixture[str]
) -> None:
    logger = fitted(lambda: Recording(("save",), error)).logger
    assert isinstance(logger, Recording)
    assert capsys.readouterr().err.count("warning: logger.mine is down") == 1


@pytest.mark.parametrize("error", [ConfigError, TrialTimeoutError])
def test_what_has_started_can_be_ended_if_the_next_tracker_raises(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [Recording(), Recording(("log_hyperparams",), error)]
    queue = list(made)
    monkeypatch.setattr("lightsweep.logger.tracker.build", lambda *_, **__: queue.pop(0))
    monkeypatch.setattr("lightsweep.logger.tracker.locate_target", lambda *_: Recording)
    monkeypatch.setattr(Run, "of_job", lambda _: RUN)
    trackers: list[Tracker] = []
    with pytest.raises(error):
        start_loggers(OmegaConf.create({"trainer": {}, "logger": {"a": {}, "b": {}}}), trackers)
    made[1].failing = ()
    end_trackers(trackers, Outcome(failed="it broke", kind="error"))
    assert made[0].hyperparameters["state"] == "failed"
    assert len(trackers) == 2


def test_a_broken_mlflow_is_a_tracker_that_is_down(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "lightsweep.logger.mlflow", None)
    tracker = Tracker(OmegaConf.create(), "logger.mlflow", kind=MLFlowLogger, run=RUN)
    assert isinstance(tracker.start(), DummyLogger)
    tracker.end(COMPLETE)
    assert "warning: logger.mlflow is down; trainings go on without it: ModuleNotFound" in capsys.readouterr().err
