"""The step of an optimizer without what torch looks up anew each time, which takes longer than a small kernel."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer, RMSprop
from torch.optim import optimizer as torch_optimizer

HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
FOR_ALL = ("_global_optimizer_pre_hooks", "_global_optimizer_post_hooks")
SPECIAL = ("amsgrad", "capturable", "differentiable", "centered")
ONE = torch.tensor(1.0)

Step = Callable[[], object]


def quick_step(optimizer: Optimizer) -> Step:
    """What does for this fit as `optimizer.step` does, after that has made a first step; that itself if nothing can.

    The learning rate may change from step to step, and so may the gradients; what else the optimizer goes by may not.
    """
    makes_step = MAKERS.get(type(optimizer))
    if makes_step is None or len(optimizer.param_groups) != 1 or _is_watched(optimizer):
        return optimizer.step
    [group] = optimizer.param_groups
    numbers = [group["lr"], *group.get("betas", ())]
    plain = all(isinstance(number, float) for number in numbers) and not any(group.get(name) for name in SPECIAL)
    first = group["params"][0]
    alike = all(
        p.device.type == "cpu" and p.dtype == first.dtype and p.grad is not None and p.grad.layout == torch.strided
        for p in group["params"]
    )
    return (plain and alike and makes_step(optimizer, group)) or optimizer.step


def _is_watched(optimizer: Optimizer) -> bool:
    """By a hook, or by a learning rate scheduler, which counts the steps."""
    hooks = [getattr(optimizer, name) for name in HOOKS] + [getattr(torch_optimizer, name) for name in FOR_ALL]
    return any(hooks) or "step" in vars(optimizer)


def _adam(optimizer: Optimizer, group: dict[str, Any]) -> Step | None:
    if not group["fused"]:
        return None
    parameters: list[Tensor] = group["params"]
    states = [optimizer.state[parameter] for parameter in parameters]
    averages, squares, steps = ([state[name] for state in states] for name in ("exp_avg", "exp_avg_sq", "step"))
    kernel = torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
    beta1, beta2 = group["betas"]
    settings = {name: group[name] for name in ("weight_decay", "eps", "amsgrad", "maximize")}

    def step() -> None:
        gradients: Any = [parameter.grad for parameter in parameters]
        with torch.no_grad():
            torch._foreach_add_(steps, ONE, alpha=1.0)  # a number would be made a tensor for each
            kernel(
                parameters, gradients, averages, squares, [], steps,
                lr=group["lr"], beta1=beta1, beta2=beta2, **settings,
            )  # fmt: skip

    return step


def _sgd(optimizer: Optimizer, group: dict[str, Any]) -> Step | None:
    if not group["fused"]:
        return None
    parameters: list[Tensor] = group["params"]
    velocities = [optimizer.state[each]["momentum_buffer"] for each in parameters] if group["momentum"] else []
    settings = {name: group[name] for name in ("weight_decay", "momentum", "dampening", "nesterov", "maximize")}

    def step() -> None:
        gradients: Any = [parameter.grad for parameter in parameters]
        with torch.no_grad():
            torch._fused_sgd_(parameters, gradients, velocities, lr=group["lr"], is_first_step=False, **settings)

    return step


def _rmsprop(optimizer: Optimizer, group: dict[str, Any]) -> Step | None:
    """As Tieleman and Hinton's in `torch.optim.rmsprop._multi_tensor_rmsprop`, which has no fused kernel."""
    if not group["foreach"] or group["momentum"] or group["maximize"]:
        return None
    parameters: list[Tensor] = group["params"]
    states = [optimizer.state[parameter] for parameter in parameters]
    squares, steps = ([state[name] for state in states] for name in ("square_avg", "step"))
    alpha, eps, weight_decay = group["alpha"], group["eps"], group["weight_decay"]

    def step() -> None:
        gradients: Any = [parameter.grad for parameter in parameters]
        with torch.no_grad():
            torch._foreach_add_(steps, ONE, alpha=1.0)
            if weight_decay:
                gradients = torch._foreach_add(gradients, parameters, alpha=weight_decay)
            torch._foreach_mul_(squares, alpha)
            torch._foreach_addcmul_(squares, gradients, gradients, value=1 - alpha)
            scales = torch._foreach_sqrt(squares)
            torch._foreach_add_(scales, eps)
            torch._foreach_addcdiv_(parameters, gradients, scales, value=-group["lr"])

    return step


MAKERS: dict[type[Optimizer], Callable[[Optimizer, dict[str, Any]], Step | None]] = {
    Adam: _adam,
    AdamW: _adam,
    SGD: _sgd,
    RMSprop: _rmsprop,
}
