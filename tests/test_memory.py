"""Memory does not grow with the number of trials that one process runs."""

import copy
import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from torch import nn

from lightsweep.cli import app
from lightsweep.trial.outcome import Outcome

N_TRIALS = 300
MODEL_MB = 1
TOLERANCE_MB = 60


class Model(nn.Module):
    """A model in a reference cycle with its trainer, as in Lightning."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = torch.ones(MODEL_MB * 2**18)
        self.trainer = {"model": self}


models: list["weakref.ref[Model]"] = []


def trains(cfg: DictConfig) -> Outcome:
    models.append(weakref.ref(Model()))
    return Outcome(monitor="val/acc", value=0.5, best_epoch=0, n_epochs=1, max_epochs=1)


def fails(cfg: DictConfig) -> Outcome:
    model = Model()  # the traceback refers to it
    models.append(weakref.ref(model))
    try:
        raise KeyError("first")
    except KeyError as error:
        raise RuntimeError("the training failed") from error


@pytest.fixture
def job(composed: Callable[..., DictConfig], tmp_path: Path) -> Iterator[DictConfig]:
    """Hydra's config of a job of a search, set for this process."""
    config = copy.deepcopy(composed("hparams_search=mlp", "hydra/job_logging=none"))
    OmegaConf.set_readonly(config.hydra, False)
    config.hydra.mode = RunMode.MULTIRUN
    config.hydra.sweep.dir = config.hydra.runtime.output_dir = str(tmp_path)
    before = HydraConfig.instance().cfg
    HydraConfig.instance().set_config(config)
    models.clear()
    app._freeze_libraries.cache_clear()
    yield config
    HydraConfig.instance().cfg = before
    gc.unfreeze()


@pytest.mark.parametrize("task", [trains, fails])
def test_the_memory_of_a_trial_is_freed(task: Callable[[DictConfig], Outcome], job: DictConfig) -> None:
    run = app.handle_failures(task)
    process = psutil.Process()
    for number in range(N_TRIALS):
        outcome = run(job)
        assert (outcome.failed is None) == (task is trains)
        assert models[number]() is None
        if number == N_TRIALS // 10:
            before = process.memory_info().rss
    assert process.memory_info().rss - before < TOLERANCE_MB * 2**20


def test_the_objects_of_libraries_are_frozen_once(job: DictConfig) -> None:
    run = app.handle_failures(trains)
    run(job)
    frozen = gc.get_freeze_count()
    assert frozen > 10_000
    run(job)
    assert gc.get_freeze_count() <= frozen
