"""The study of a search, for callbacks that report to it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import OmegaConf

from lightsweep.storage.storage import open_storage
from lightsweep.sweeper.config import SWEEPER_TARGET


@pytest.fixture
def study_of_search(tmp_path: Path, quiet_trainer: dict[str, Any]) -> Iterator[optuna.Study]:
    """The study of a search with two trials, where Hydra's config says that this process runs job 1.

    `quiet_trainer` comes first, because it sets up the process as outside a search.
    """
    pruner = {"_target_": "optuna.pruners.NopPruner"}
    cfg = {
        "sweeper": {"_target_": SWEEPER_TARGET, "study_name": "mlp", "storage": None, "pruner": pruner},
        "mode": RunMode.MULTIRUN,
        "sweep": {"dir": str(tmp_path), "subdir": "0"},
        "job": {"num": 1},
        "overrides": {"task": []},
        "runtime": {"cwd": str(tmp_path)},
    }
    HydraConfig.instance().cfg = OmegaConf.create({"hydra": cfg})  # type: ignore[assignment]
    storage = open_storage(str(tmp_path / "study.journal"))
    study = optuna.create_study(study_name="mlp", storage=storage, direction="maximize")
    for _ in range(2):
        study.ask()
    yield study
    HydraConfig.instance().cfg = None
    open_storage.cache_clear()
