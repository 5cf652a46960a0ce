"""What a `_target_` that an earlier version had, in a study, a shipped model or a user's config, is called now."""

RENAMED = {
    "lightsweep.optimizer.rmsprop.RMSprop": "torch.optim.RMSprop",
}


def present_target(target: str) -> str:
    """Return the present name of a target, which is the same for most."""
    return RENAMED.get(target, target)
