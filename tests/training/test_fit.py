"""What surrounds a training."""

import pytest
import torch

from lightsweep.training.fit import flush_denormals

DENORMAL = 1e-39


def is_zero() -> bool:
    return bool(torch.tensor([DENORMAL]) * 1 == 0)


def test_numbers_that_take_the_cpu_a_hundred_times_as_long_are_zero_in_a_training_alone() -> None:
    assert not is_zero()
    with flush_denormals():
        assert is_zero()
    assert not is_zero()


def test_an_error_in_the_training_leaves_the_numbers_as_they_were() -> None:
    with pytest.raises(RuntimeError), flush_denormals():
        raise RuntimeError
    assert not is_zero()
