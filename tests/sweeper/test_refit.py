"""A refit is neither cut short by a lucky epoch nor led into overfitting."""

import optuna
import pytest

from lightsweep.sweeper.refit import epochs_to_refit


@pytest.mark.parametrize(
    ("values", "best_epoch", "n_epochs"),
    [
        ([0.5, 0.8, 0.9, 0.95, 0.97], 4, 5),  # still rising
        ([0.5, 0.9, 0.97, 0.965, 0.968], 2, 5),  # a plateau
        ([0.5, 0.9, 0.97, 0.94, 0.96], 2, 5),  # a dip on it
        ([2.3, 0.6, 0.3, 0.35, 0.5], 2, 4),  # a loss that grows again: the next epoch is as good, the last is not
        ([2.3, 0.6, 0.3, 0.6, 0.9], 2, 3),
        ([0.9, 0.8, 0.7, 0.6, 0.5], 0, 1),
        ([0.7], 0, 1),
        ([0.7, 0.7, 0.7], 0, 3),
        ([], 6, 7),  # reported elsewhere
    ],
)
def test_it_goes_to_the_last_epoch_that_was_as_good(values: list[float], best_epoch: int, n_epochs: int) -> None:
    trial = optuna.trial.create_trial(
        value=0.5, intermediate_values=dict(enumerate(values)), user_attrs={"best_epoch": best_epoch}
    )
    assert epochs_to_refit(trial) == n_epochs
