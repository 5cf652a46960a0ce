"""The example of a user's own model and data, in files outside the package."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra.utils
import optuna
import pytest
import pytorch_lightning as L
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from lightsweep.callbacks.pruning import PruningCallback
from lightsweep.config.instantiate import build
from lightsweep.config.targets import ALLOWED_TARGETS
from lightsweep.config.validation import problems_of
from lightsweep.model.construction import build_model
from tests.command import ROOT, succeed

EXAMPLE = ROOT / "examples" / "own_model"
OVERRIDES = ["hparams_search=two_towers", "data=spirals", "data.n=300"]


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the example outside this repository."""
    folder = tmp_path / "mine"
    shutil.copytree(EXAMPLE, folder)
    monkeypatch.syspath_prepend(folder)
    with hydra.utils.execution_whitelist((*ALLOWED_TARGETS, "own_model.*", "own_data.*")):
        yield folder


def test_the_users_model_is_trained_and_pruned(example: Path, quiet_trainer: dict[str, Any]) -> None:
    search_path = f"hydra.searchpath=[file://{example / 'conf'}]"
    with initialize_config_dir(config_dir=str(ROOT / "conf")):
        cfg = compose("train", overrides=[search_path, *OVERRIDES, "model.width=8"], return_hydra_config=True)
    assert problems_of(cfg) == []
    data = build(cfg.data, "data")
    model = build_model(cfg.model, data=data, optimizer=build(cfg.optimizer, "optimizer"))
    assert [type(part).__module__ for part in (data, model)] == ["own_data", "own_model"]
    assert model.deep[0].out_features == 8
    study = optuna.create_study(direction=cfg.direction, pruner=optuna.pruners.ThresholdPruner(lower=1.1))
    pruning = PruningCallback(monitor=cfg.monitor, direction=cfg.direction, trial=study.ask())
    L.Trainer(**quiet_trainer, max_epochs=5, logger=False, callbacks=[pruning]).fit(model, datamodule=data)
    assert pruning.pruned is not None
    assert pruning.n_epochs == 1


@pytest.mark.slow
def test_a_search_of_the_users_model_runs_in_workers_and_exports_a_model(example: Path) -> None:
    small = ("trainer.max_epochs=2", "hydra/launcher=processes", "hydra.sweeper.n_trials=2")
    trusted = {"PYTHONPATH": str(example), "LIGHTSWEEP_TRUST": "own_model.*,own_data.*"}
    ran = succeed("--config-dir", "mine/conf", *OVERRIDES, *small, cwd=example.parent, **trusted)
    [folder] = example.parent.glob("outputs/two_towers/*")
    results = OmegaConf.load(folder / "optimization_results.yaml")
    assert results.n_trials.complete == 2
    assert results.shipped["test/acc"] > 0.4
    assert f"--config-dir={example / 'conf'}" in results.command
    assert (folder / "best" / "model.pt").is_file()
    assert "Trained on training + validation data, 240 rows." in (folder / "best" / "model_card.md").read_text()
    assert results.trained_on == "training + validation data"
    assert "best/model_card.md" in ran.out
    assert "lightsweep.load" not in ran.out  # it needs `preprocessing` of the data module
