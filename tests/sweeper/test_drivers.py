"""Two drivers that work on one study in one folder, the other one played by the test."""

import json
import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from optuna.trial import TrialState

from lightsweep.storage.storage import open_storage
from lightsweep.sweeper.config import DRIVER
from lightsweep.sweeper.search import Search
from lightsweep.trial.driver import register_driver
from lightsweep.trial.heartbeat import Heartbeat
from lightsweep.trial.outcome import Outcome
from tests.command import rows_of
from tests.conftest import Compose

Other = Callable[[optuna.Study], None]


class FakeLauncher:
    """Runs no job: each trial reaches 0.5, and the refit writes what a shipped model is known by."""

    def __init__(self, folder: Path, *, meanwhile: Callable[[], None]) -> None:
        self.folder = folder
        self.meanwhile = meanwhile
        self.refitted: list[int] = []

    def outcome(self, number: int) -> Outcome:
        return Outcome(monitor="val/acc", value=0.5, best_epoch=1, n_epochs=2, max_epochs=2)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[JobReturn]:
        self.meanwhile()
        outcome = self.outcome(initial_job_idx)
        if "refit=true" in job_overrides[0]:
            self.refitted.append(initial_job_idx)
            (self.folder / "best").mkdir(exist_ok=True)
            (self.folder / "best" / "metrics.json").write_text(json.dumps({"test/acc": 0.4}))
            outcome = Outcome(
                monitor="val/acc", n_epochs=2, max_epochs=2, test_metrics={"test/acc": 0.4}, trained_on="all rows"
            )
        return [JobReturn(status=JobStatus.COMPLETED, _return_value=outcome)]


def search_with(
    config: DictConfig,
    folder: Path,
    *,
    other: Other,
    monkeypatch: pytest.MonkeyPatch,
    launcher_of: type[FakeLauncher] = FakeLauncher,
) -> tuple[FakeLauncher, optuna.Study]:
    """Search in this process while `other` does something to the study during each job."""
    settings: dict[str, Any] = {str(key): value for key, value in config.hydra.sweeper.items() if key != "_target_"}
    nothing: Any = None
    context = HydraContext(config_loader=nothing, callbacks=nothing)
    search = Search(settings, config=config, hydra_context=context, task_function=nothing)
    study = optuna.create_study(
        study_name=search.settings.study_name,
        storage=open_storage(str(folder / "study.journal")),
        directions=search.directions,
        load_if_exists=True,
    )
    launcher = launcher_of(folder, meanwhile=lambda: other(study))
    monkeypatch.setattr(search, "_composed", lambda _: config)  # without a config loader
    monkeypatch.setattr("lightsweep.sweeper.live_report.write_report", lambda *_, **__: None)
    heartbeat = Heartbeat(study, interval=30)
    search._search(study, request=search._request([]), folder=folder, launcher=launcher, heartbeat=heartbeat)  # type: ignore[arg-type]
    return launcher, study


def test_what_the_other_driver_has_run_is_in_the_results_and_shipped_once(
    composed: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def runs_one_trial(study: optuna.Study) -> None:
        if len(study.trials) == 1:
            trial = study.ask()
            trial.suggest_int("model.n_layers", 1, 3)
            for name, value in {"folder": str(tmp_path / "1"), "best_epoch": 1}.items():
                trial.set_user_attr(name, value)
            study.tell(trial, 0.75)

    config = composed("hparams_search=mlp", "confirm=off", "hydra.sweeper.n_trials=4")
    launcher, study = search_with(config, tmp_path, other=runs_one_trial, monkeypatch=monkeypatch)
    assert [t.state for t in study.trials] == [TrialState.COMPLETE] * 4
    assert [float(row["value"]) for row in rows_of(tmp_path / "trials.csv")] == [0.5, 0.75, 0.5, 0.5]
    results = OmegaConf.load(tmp_path / "optimization_results.yaml")
    assert results.n_trials.finished == 4
    assert results.best_trial == results.shipped_trial == 1
    assert launcher.refitted == [1]

    launcher, _ = search_with(config, tmp_path, other=runs_one_trial, monkeypatch=monkeypatch)
    assert launcher.refitted == []
    assert OmegaConf.load(tmp_path / "optimization_results.yaml") == results


def test_a_stop_ends_with_the_search_that_was_asked_to(
    composed: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def user_presses_ctrl_c(_: optuna.Study) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        asked.extend(path.name for path in tmp_path.glob(".stop*"))

    monkeypatch.setenv(DRIVER, "null")  # to be taken back after the test
    register_driver()
    (tmp_path / ".stop.elsewhere.1").touch()  # of another driver
    config = composed("hparams_search=mlp", "confirm=off", "hydra.sweeper.n_trials=4")
    with pytest.raises(SystemExit, match="130"):
        search_with(config, tmp_path, other=user_presses_ctrl_c, monkeypatch=monkeypatch)
    assert sorted(asked) == sorted([".stop.elsewhere.1", f".stop.{socket.gethostname()}.{os.getpid()}"])
    assert [path.name for path in tmp_path.glob(".stop*")] == [".stop.elsewhere.1"]
