"""A linear layer that is up to twice as fast on the CPU, where a product is large.

Torch has MKL multiply, which leaves half of an AVX-512 unit idle unless Intel made it. oneDNN, which torch also brings,
does not, but takes 10 us to begin: it gets the products that take longer.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LARGE = 3 * 2**19  # multiplications
HAS_ONEDNN = torch._C._has_mkldnn and torch.backends.cpu.get_cpu_capability() == "AVX512"


def is_large(x: Tensor, weight: Tensor) -> bool:
    """Whether a layer of this weight gives its products with these rows, or their gradients, to oneDNN."""
    return (
        HAS_ONEDNN
        and x.dim() == 2
        and len(x) * weight.numel() >= LARGE
        and x.dtype == weight.dtype == torch.float32
        and x.device == weight.device == torch.device("cpu")
    )


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """What `F.linear` gives, by oneDNN; without a record for autograd."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")
    return out


def _is_transformed() -> bool:
    """Whether torch does more than to compute values, or gradients backward."""
    return (
        torch.compiler.is_compiling()
        or torch.is_autocast_enabled("cpu")
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
    )


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        multiply = F.linear if torch.is_grad_enabled() else product  # the former if it is derived once more
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            multiply(gradient, weight.t()) if needs_x else None,
            multiply(gradient.t(), x.t()) if needs_weight else None,
            gradient.sum(0) if needs_bias else None,
        )


class Linear(nn.Linear):
    """As `nn.Linear`, which it is wherever the products are small, on any other device, and in an export."""

    def forward(self, input: Tensor) -> Tensor:
        if _is_transformed() or type(input) is not Tensor or not is_large(input, self.weight):
            return super().forward(input)
        if not torch.is_grad_enabled():
            return product(input, self.weight, self.bias)
        out: Tensor = _Product.apply(input, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return out
