"""What training on the digits does without is not imported, and nothing of it is lost to those who ask for it."""

import gc
import inspect
import os
import subprocess
import sys
import weakref
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torchmetrics
from lightning_utilities.core.enums import StrEnum
from pytorch_lightning.trainer.connectors.logger_connector.result import _Metadata, _ResultMetric
from pytorch_lightning.trainer.states import RunningStage, TrainerFn
from pytorch_lightning.utilities import argparse, signature_utils
from pytorch_lightning.utilities.argparse import _parse_env_variables
from pytorch_lightning.utilities.signature_utils import is_param_in_hook_signature

import lightsweep.lightning
from lightsweep.lightning import L

CHECK = """
import sys
from lightsweep.lightning import L
assert "scipy.signal" not in sys.modules and "scipy.stats" not in sys.modules
import pytorch_lightning, scipy, torchmetrics
assert L is pytorch_lightning
from lightsweep.data.digits import Digits
Digits(batch_size=8, shuffle=True, seed=0, refit=False).splits
assert not {"sklearn", "scipy.stats", "pandas", "pyarrow", "skops", "matplotlib"} & {*sys.modules}
assert scipy.signal.windows.hann(3)[1] == 1
import scipy.signal
assert scipy.signal is sys.modules["scipy.signal"] and scipy.signal.__file__
"""


PLOT = """
import sys
import lightsweep.lightning
import torch, torchmetrics
metric = torchmetrics.MeanMetric()
metric.update(torch.tensor(2.0))
figure, axes = metric.plot()
import matplotlib, matplotlib.axes, matplotlib.pyplot
assert isinstance(axes, matplotlib.axes.Axes) and isinstance(figure, matplotlib.pyplot.Figure)
assert all(sys.modules[name].__file__ for name in ("matplotlib", "matplotlib.axes", "matplotlib.pyplot"))
"""


def test_scipy_signal_is_neither_loaded_nor_lost() -> None:
    subprocess.run([sys.executable, "-c", CHECK], check=True)


def test_torchmetrics_can_still_plot() -> None:
    subprocess.run([sys.executable, "-c", PLOT], check=True, env={**os.environ, "MPLBACKEND": "agg"})


@pytest.mark.parametrize("name", ["scipy.signal", "matplotlib.pyplot"])
def test_what_is_there_already_stays(name: str) -> None:
    check = f"import sys, {name} as there; import lightsweep.lightning; assert sys.modules['{name}'] is there"
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.mark.parametrize("reduce_fx", [torch.mean, torch.sum, max])
def test_a_logged_value_is_moved_only_to_another_device(reduce_fx: Any) -> None:
    metric = _ResultMetric(_Metadata(fx="validation_step", name="val/acc", reduce_fx=reduce_fx), is_tensor=True)
    metric.update(torch.tensor(0.5), 1)
    before = {name: getattr(metric, name) for name in metric._defaults}
    metric.to(torch.device("cpu"))
    assert all(getattr(metric, name) is value for name, value in before.items())
    metric.to(torch.device("meta"))
    assert all(getattr(metric, name).is_meta for name in before)


class One:
    def step(self, batch: Any) -> None: ...


@dataclass
class Called:
    x: list[int]

    def __call__(self, x: Any) -> None: ...


class Other:
    def step(self, batch: Any, batch_idx: int) -> None: ...


def test_what_a_step_takes_is_looked_up_once_per_function() -> None:
    looked_at = []
    asked = lightsweep.lightning._once(lambda function: looked_at.append(function) or inspect.getfullargspec(function))
    for _ in range(3):
        assert asked(One().step).args == ["self", "batch"]
        assert asked(Other().step).args == ["self", "batch", "batch_idx"]
        assert asked(Called([])).args == ["self", "x"]  # which has no hash
    assert len(looked_at) == 2 + 3


def test_a_step_that_was_asked_for_is_not_kept() -> None:
    def ask(one: One) -> weakref.ref[One]:
        def step(batch: Any) -> One:
            return one

        assert not is_param_in_hook_signature(step, "batch_idx", min_args=2)
        return weakref.ref(one)

    is_there = ask(One())
    gc.collect()
    assert is_there() is None


def test_a_step_that_is_changed_is_not_taken_for_what_it_was() -> None:
    def step(batch: Any) -> None: ...

    def other(batch: Any, batch_idx: int) -> None: ...

    assert not is_param_in_hook_signature(step, "batch_idx", min_args=2)
    step.__code__ = other.__code__
    assert is_param_in_hook_signature(step, "batch_idx")


def test_lightning_and_torchmetrics_look_once() -> None:
    looked_at = {getattr(module.inspect.signature, "__name__", "") for module in (argparse, torchmetrics.metric)}
    assert looked_at | {signature_utils.inspect.getfullargspec.__name__} == {"looked_up"}


def test_lightning_finds_what_a_step_and_a_trainer_take(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(2):
        assert not is_param_in_hook_signature(One().step, "batch_idx")
        assert is_param_in_hook_signature(Other().step, "batch_idx")
        assert is_param_in_hook_signature(Other.step, "batch_idx")
    assert not vars(_parse_env_variables(L.Trainer))
    monkeypatch.setenv("PL_TRAINER_MAX_EPOCHS", "3")
    assert vars(_parse_env_variables(L.Trainer)) == {"max_epochs": 3}


def test_places_have_their_text_again() -> None:
    frame = inspect.currentframe()
    assert frame is not None
    [line] = inspect.getframeinfo(frame).code_context or []
    assert line.strip() == "[line] = inspect.getframeinfo(frame).code_context or []"


def test_a_member_of_an_enumeration_is_equal_to_itself_and_to_its_text() -> None:
    assert RunningStage.TRAINING == RunningStage("train") == "train" == RunningStage.TRAINING
    assert RunningStage.TRAINING == "TRAIN"
    assert RunningStage.TESTING == TrainerFn.TESTING
    assert RunningStage.TRAINING not in (RunningStage.TESTING, TrainerFn.FITTING, "test", None)
    for kind in StrEnum.__subclasses__():
        texts = {str(member.value).lower() for member in kind}
        assert len(texts) == len(kind), "two members would be equal by their text"
