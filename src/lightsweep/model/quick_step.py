"""The step of an optimizer without what torch looks up anew each time, which takes longer than a small kernel."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim import optimizer as torch_optimizer

from lightsweep.optimizer.rmsprop import ONE, RMSprop, is_one_pass, one_pass

HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
FOR_ALL = ("_global_optimizer_pre_hooks", "_global_optimizer_post_hooks")
SPECIAL = ("amsgrad", "capturable", "differentiable")

Step = Callable[[], object]
Update = Callable[[Any], None]  # of the parameters, by their gradients


def quick_step(optimizer: Optimizer) -> Step:
    """What does for this fit as `optimizer.step` does, after that has made a first step; that itself if nothing can.

    The learning rate may change from step to step, and so may the gradients; what else the optimizer goes by may not.
    """
    update_of = UPDATES.get(type(optimizer))
    if update_of is None or len(optimizer.param_groups) != 1 or _is_watched(optimizer):
        return optimizer.step
    [group] = optimizer.param_groups
    numbers = [group["lr"], *group.get("betas", ())]
    plain = all(isinstance(number, float) for number in numbers) and not any(group.get(name) for name in SPECIAL)
    parameters: list[Tensor] = group["params"]
    alike = all(
        p.device.type == "cpu"
        and p.dtype == parameters[0].dtype
        and p.grad is not None
        and p.grad.layout == torch.strided
        for p in parameters
    )
    update = (
        update_of(group, [optimizer.state.get(parameter, {}) for parameter in parameters]) if plain and alike else None
    )
    if update is None:
        return optimizer.step

    def step() -> None:
        with torch.no_grad():
            update([parameter.grad for parameter in parameters])

    return step


def _is_watched(optimizer: Optimizer) -> bool:
    """By a hook, or by a learning rate scheduler, which counts the steps."""
    hooks = [getattr(optimizer, name) for name in HOOKS] + [getattr(torch_optimizer, name) for name in FOR_ALL]
    return any(hooks) or "step" in vars(optimizer)


def _adam(group: dict[str, Any], states: list[dict[str, Any]]) -> Update | None:
    if not group["fused"]:
        return None
    averages, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
    kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
    beta1, beta2 = group["betas"]
    settings = {name: group[name] for name in ("weight_decay", "eps", "amsgrad", "maximize")}

    def update(gradients: Any) -> None:
        torch._foreach_add_(steps, ONE, alpha=1.0)  # a number would be made a tensor for each
        kernel(
            group["params"], gradients, averages, squares, [], steps,
            lr=group["lr"], beta1=beta1, beta2=beta2, **settings,
        )  # fmt: skip

    return update


def _sgd(group: dict[str, Any], states: list[dict[str, Any]]) -> Update | None:
    if not group["fused"]:
        return None
    velocities = [state["momentum_buffer"] for state in states] if group["momentum"] else []
    settings = {name: group[name] for name in ("weight_decay", "momentum", "dampening", "nesterov", "maximize")}

    def update(gradients: Any) -> None:
        torch._fused_sgd_(group["params"], gradients, velocities, lr=group["lr"], is_first_step=False, **settings)

    return update


def _rmsprop(group: dict[str, Any], states: list[dict[str, Any]]) -> Update | None:
    if not is_one_pass(group, group["params"]):
        return None
    squares, steps = ([state[name] for state in states] for name in ("square_avg", "step"))

    def update(gradients: Any) -> None:
        one_pass(group, group["params"], gradients, squares, steps)

    return update


UPDATES: dict[type[Optimizer], Callable[[dict[str, Any], list[dict[str, Any]]], Update | None]] = {
    Adam: _adam,
    AdamW: _adam,
    SGD: _sgd,
    RMSprop: _rmsprop,
}
