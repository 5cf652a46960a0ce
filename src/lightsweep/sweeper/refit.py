"""For how long the best model of a search is trained once more."""

from optuna.trial import FrozenTrial

AS_GOOD = 0.05  # of the trial's own range


def epochs_to_refit(trial: FrozenTrial) -> int:
    """The epochs up to the last one that was as good as the best, within a twentieth of the trial's own range.

    Over a few hundred validation rows it is luck which of nearly equal epochs is the best, and after an early one the
    model would be left half trained; an epoch that is clearly worse, because the model has begun to overfit, is not
    reached.
    """
    values = trial.intermediate_values
    best_epoch: int = trial.user_attrs["best_epoch"]
    if best_epoch not in values:
        return best_epoch + 1
    best = values[best_epoch]
    tolerance = AS_GOOD * max(abs(value - best) for value in values.values())
    return 1 + max(epoch for epoch, value in values.items() if abs(value - best) <= tolerance)
