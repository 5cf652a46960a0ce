"""Class weights are taken out of the probabilities again."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from lightsweep.data.preprocessing import ArrayPreprocessing
from lightsweep.data.splits import Scaler
from lightsweep.data.target import Target
from lightsweep.export.predictor import Predictor
from lightsweep.task import Task

WEIGHTS = (0.505, 50.0)


class Weighted(nn.Module):
    """Return the logits that a cross-entropy with `WEIGHTS` has its minimum at, for the probability `x` of class 1."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.log(torch.cat([1 - x, x], dim=1) * torch.tensor(WEIGHTS))


def predictor(weights: tuple[float, ...]) -> Predictor:
    unscaled = Scaler(mean=np.zeros(1, np.float32), std=np.ones(1, np.float32))
    target = Target(task=Task.BINARY, names=("y",), classes=(0, 1), weights=weights)
    target = Target.from_record(json.loads(json.dumps(target.to_record())))
    return Predictor(model=Weighted(), preprocessing=ArrayPreprocessing(unscaled), target=target, metrics={})


def test_calibrated_probabilities_are_those_without_weights() -> None:
    p = np.array([[0.001], [0.009], [0.2], [0.9]], dtype=np.float32)
    model = predictor(WEIGHTS)
    assert model.predict_proba(p)[1, 1] == pytest.approx(0.5, abs=0.05)
    np.testing.assert_allclose(model.predict_proba(p, calibrated=True), np.hstack([1 - p, p]), rtol=1e-4)
    assert model.predict(p).tolist() == [0, 0, 1, 1]


def test_without_weights_calibration_changes_nothing() -> None:
    p = np.array([[0.3]], dtype=np.float32)
    model = predictor(())
    np.testing.assert_array_equal(model.predict_proba(p, calibrated=True), model.predict_proba(p))


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, -2.0]])
def test_wrong_weights_in_a_record_are_refused(weights: list[float]) -> None:
    record = Target(task=Task.BINARY, names=("y",), classes=(0, 1)).to_record()
    with pytest.raises(ValueError, match="the class weights are"):
        Target.from_record(record | {"weights": weights})
