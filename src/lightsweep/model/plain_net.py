"""The gradients of a plain MLP without autograd, which takes as long for a small network as the arithmetic.

The same kernels in the same order, so that weights and losses are autograd's to the last bit.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules import module as nn_module

from lightsweep.model.dropout import Dropout
from lightsweep.model.linear import Linear, is_large, product
from lightsweep.model.mlp import MLP
from lightsweep.model.objectives import Objective

threshold_backward = torch.ops.aten.threshold_backward.default

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
FOR_ALL = ("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks", "_global_backward_pre_hooks")


class PlainNet:
    """A network of linear layers, ReLU and dropout, and what it is trained for."""

    def __init__(self, layers: list[Linear], dropouts: list[Dropout], objective: Objective) -> None:
        self._weights = [layer.weight for layer in layers]
        self._biases = [layer.bias for layer in layers]
        self._transposed = [weight.detach().t() for weight in self._weights]
        self._dropout = dropouts[0] if dropouts and dropouts[0].p > 0 else None
        self._objective = objective
        # By the number of rows, of which all batches but the last have the same.
        self._drawers: dict[int, Callable[[], Sequence[Tensor | None]]] = {}
        self._large: dict[int, list[bool]] = {}

    def _takes(self, x: Tensor) -> bool:
        weight = self._weights[0]
        return x.dim() == 2 and x.dtype == weight.dtype and x.device == weight.device and not x.requires_grad

    def _masks(self, n_rows: int) -> Sequence[Tensor | None]:
        """Those of dropout for each hidden layer, None where it keeps all."""
        if n_rows not in self._drawers:
            hidden = self._biases[:-1]
            kept = [None] * len(hidden)
            shapes = [(n_rows, len(bias)) for bias in hidden]
            drawn = self._dropout and self._dropout.drawer(shapes, self._biases[0].dtype)
            self._drawers[n_rows] = drawn or (lambda: kept)
        return self._drawers[n_rows]()

    def _is_large(self, x: Tensor) -> list[bool]:
        """Of each layer's products: they go by the rows, of which each layer has as many."""
        if len(x) not in self._large:
            self._large[len(x)] = [is_large(x, weight) for weight in self._weights]
        return self._large[len(x)]

    def _outputs(self, i: int, x: Tensor, *, large: bool) -> Tensor:
        bias = self._biases[i]
        return product(x, self._weights[i], bias) if large else torch.addmm(bias, x, self._transposed[i])

    @torch.no_grad()
    def set_gradients(self, batch: tuple[Tensor, Tensor]) -> Tensor | None:
        """Put those of the mean loss in the place of the former, and return the loss; None if the batch is unusual."""
        x, y = batch
        if not self._takes(x):
            return None
        large, masks = self._is_large(x), self._masks(len(x))
        inputs = [x]
        for i, mask in enumerate(masks):
            hidden = self._outputs(i, inputs[-1], large=large[i]).relu_()
            inputs.append(hidden if mask is None else hidden.mul_(mask))
        out = self._outputs(-1, inputs[-1], large=large[-1])
        loss, gradient = self._objective.loss_and_gradient(out, y)
        for i in reversed(range(len(inputs))):
            weight, bias = self._weights[i], self._biases[i]
            if weight.grad is None or bias.grad is None:
                weight.grad, bias.grad = torch.empty_like(weight), torch.empty_like(bias)
            if large[i]:
                weight.grad = product(gradient.t(), inputs[i].t())
            else:
                torch.mm(gradient.t(), inputs[i], out=weight.grad)
            torch.sum(gradient, 0, out=bias.grad)
            if i == 0:
                break
            gradient = product(gradient, self._transposed[i]) if large[i] else gradient.mm(weight)
            if (mask := masks[i - 1]) is not None:
                gradient.mul_(mask)
            gradient = threshold_backward(gradient, inputs[i], 0)
        return loss


def plain_net(net: MLP, objective: Objective) -> PlainNet | None:
    """None if the network has more than that, or if somebody wants to see what passes through it."""
    layers = [layer for layer in net.layers if type(layer) is Linear]
    dropouts = [layer for layer in net.layers if type(layer) is Dropout]
    kinds = [type(layer) for layer in net.layers]
    if kinds != [Linear, nn.ReLU, Dropout] * (len(layers) - 1) + [Linear]:
        return None
    if not objective.has_gradient or not all(dropout.has_own_mask for dropout in dropouts):
        return None
    if len({dropout.p for dropout in dropouts}) > 1 or not all(module.training for module in net.modules()):
        return None
    if len(list(net.parameters())) < 2 * len(layers):  # a layer has no bias, or shares its weight with another
        return None
    if torch.is_anomaly_enabled() or any(getattr(nn_module, hooks) for hooks in FOR_ALL):
        return None
    if any(getattr(module, hooks) for module in net.modules() for hooks in HOOKS) or any(
        map(_is_special, net.parameters())
    ):
        return None
    return PlainNet(layers, dropouts, objective)


def _is_special(parameter: nn.Parameter) -> bool:
    return (
        not parameter.requires_grad
        or parameter.device.type != "cpu"
        or type(parameter) is not nn.Parameter
        or not parameter.is_contiguous()  # a fused optimizer takes the gradient's numbers in the order they lie in
        or bool(parameter._backward_hooks)
        or bool(parameter._post_accumulate_grad_hooks)
    )
