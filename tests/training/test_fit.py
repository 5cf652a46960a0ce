"""The set-up of the process for a training, and the outcome after it."""

import subprocess
import sys
from typing import Any

import pytest
import torch

from lightsweep.callbacks.early_stopping import EarlyStopping
from lightsweep.callbacks.pruning import PruningCallback
from lightsweep.callbacks.stopwatch import Stopwatch
from lightsweep.errors import ConfigError
from lightsweep.training.fit import flush_denormals, outcome_of, trainer_arguments
from tests.callbacks.scripted import fit

MONITOR: dict[str, Any] = {"monitor": "val/acc", "direction": "maximize"}

DENORMAL = 1e-39


def is_flushed() -> bool:
    return bool(torch.tensor([DENORMAL]) * 1 == 0)


def test_denormals_are_flushed_only_in_the_block() -> None:
    assert not is_flushed()
    with flush_denormals():
        assert is_flushed()
    assert not is_flushed()


def test_an_error_ends_the_flushing_of_denormals() -> None:
    with pytest.raises(RuntimeError), flush_denormals():
        raise RuntimeError
    assert not is_flushed()


def test_a_fit_without_a_validation_has_failed(quiet_trainer: dict[str, Any]) -> None:
    trainer = fit((0.1,), callbacks=[PruningCallback(**MONITOR)], limit_train_batches=0, **quiet_trainer)
    outcome = outcome_of(trainer)
    assert outcome.kind == "error"
    assert str(outcome.failed).startswith("no validation ran, so val/acc has no value; the training loader gave")


def test_an_outcome_needs_the_pruning_callback(quiet_trainer: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"callbacks.pruning is missing.*set hydra/sweeper/pruner=none"):
        outcome_of(fit((0.1,), callbacks=[], **quiet_trainer))


def test_a_refit_has_no_callbacks_that_need_a_validation() -> None:
    callbacks = [PruningCallback(**MONITOR), EarlyStopping(**MONITOR, patience=1, min_delta=0.0), Stopwatch(path="")]
    assert trainer_arguments(callbacks, refit=False) == {"callbacks": callbacks}
    assert trainer_arguments(callbacks, refit=True)["callbacks"] == callbacks[2:]


@pytest.mark.slow
def test_a_training_does_not_import_what_only_tables_and_pictures_need() -> None:
    code = (
        "import sys, lightsweep.training.train, lightsweep.data.digits;"
        "print([name for name in ('skops', 'plotly', 'optuna.visualization') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
