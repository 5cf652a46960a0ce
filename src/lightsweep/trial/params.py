"""What a job gets for its trial: hyperparameters without the binary tails of their steps, and its validation split.

0.1 + 2 x 0.1 is 0.3, not 0.30000000000000004.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial

VAL_SEED = "val_seed"  # the user attribute of a trial that has a validation split of its own


def exact(value: Any, distribution: BaseDistribution | None) -> Any:
    """Round a value of a float range with a step to as many decimals as its low end and its step have."""
    if not isinstance(distribution, FloatDistribution) or distribution.step is None:
        return value
    exponents = [Decimal(repr(number)).as_tuple().exponent for number in (distribution.low, distribution.step)]
    return round(value, -min(int(exponent) for exponent in exponents))


def params_of(trial: FrozenTrial) -> dict[str, Any]:
    """Return the trial's hyperparameters as they are written, and as its job gets them."""
    return {name: exact(value, trial.distributions[name]) for name, value in trial.params.items()}


def val_seed_overrides(user_attrs: Mapping[str, Any]) -> list[str]:
    """Return the override of a trial that has a validation split of its own, none for another one."""
    return [f"data.val_seed={user_attrs[VAL_SEED]}"] if VAL_SEED in user_attrs else []
