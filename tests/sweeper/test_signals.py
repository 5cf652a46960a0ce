"""Signals before and after the trials: a real search around a task that trains nothing."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf

from lightsweep.interrupt import Interrupted, interruptible
from lightsweep.storage.storage import open_storage
from lightsweep.sweeper import search
from lightsweep.sweeper.config import DRIVER
from lightsweep.trial.driver import driver
from lightsweep.trial.outcome import Outcome
from tests.conftest import CONF

PROCESSES = ("hydra/launcher=processes", "hydra.sweeper.n_jobs=2")


def stopped_in_its_refit(cfg: DictConfig) -> Outcome:
    if cfg.refit:
        (Path(HydraConfig.get().runtime.output_dir) / "model.pt").write_text("half")
        here = driver()
        assert here is not None
        os.kill(here.pid, signal.Signals[os.environ["TEST_SIGNAL"]])
        time.sleep(60)
    return Outcome(monitor="val/acc", value=0.5, best_epoch=0, n_epochs=1, max_epochs=1)


@pytest.fixture(autouse=True)
def _nothing_stays(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(DRIVER, "null")
    yield
    HydraConfig.instance().cfg = None
    open_storage.cache_clear()


@pytest.mark.parametrize(("signum", "launcher"), [(signal.SIGTERM, ()), (signal.SIGINT, PROCESSES)])
def test_a_search_that_is_stopped_in_its_refit_keeps_its_results_and_says_how_to_go_on(
    signum: signal.Signals,
    launcher: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TEST_SIGNAL", signum.name)
    with pytest.raises(SystemExit) as left:
        run_search(stopped_in_its_refit, f"hydra.sweep.dir={tmp_path}", "optimizer=adam", *launcher)
    assert left.value.code == 128 + signum
    said = capsys.readouterr()
    assert f"stopped by {signum.name}, before the best trial was refitted" in said.err
    assert f"resume={tmp_path}" in said.out
    results = OmegaConf.load(tmp_path / "optimization_results.yaml")
    assert (results.best_value, results.shipped) == (0.5, None)
    assert not (tmp_path / "best").exists()


def test_a_search_that_is_stopped_before_it_begins_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search, "save_command", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(Interrupted), interruptible():
        run_search(stopped_in_its_refit, "optimizer=adam")
    assert list(tmp_path.iterdir()) == []


def run_search(task: Any, *overrides: str) -> None:
    """Search with one trial in this process, as `-m hparams_search=mlp` does."""
    with initialize_config_dir(config_dir=str(CONF)):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        config = hydra.compose_config(
            config_name="train",
            overrides=["hparams_search=mlp", "hydra.sweeper.n_trials=1", "hydra/job_logging=none", *overrides],
            run_mode=RunMode.MULTIRUN,
            with_log_configuration=False,
        )
        HydraConfig.instance().set_config(config)
        settings = {str(key): value for key, value in config.hydra.sweeper.items() if key != "_target_"}
        context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks())
        one = search.Search(settings, config=config, hydra_context=context, task_function=task)
        one.run(list(config.hydra.overrides.task))
