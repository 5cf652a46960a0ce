"""Dropout with a mask at a third of the cost on the CPU, where torch draws a number per unit: a tenth of a step."""

import torch
from torch import Tensor, nn

N_LEVELS = 2**16
PER_DRAW = 4  # 16 of 64 random bits decide on one unit


class Dropout(nn.Dropout):
    """As `nn.Dropout`, with `p` rounded to a multiple of 1/65536; on any other device it is `nn.Dropout`."""

    @property
    def has_own_mask(self) -> bool:
        """Whether `mask` is what it drops by in training, on the CPU."""
        return self.p == 0 or 0 < self._n_kept < N_LEVELS

    @property
    def _n_kept(self) -> int:
        return round((1 - self.p) * N_LEVELS)

    def mask(self, x: Tensor) -> Tensor | None:
        """What to multiply `x` by: 0 for what is dropped, and 1 / (1 - p) for the rest; None if nothing is dropped."""
        if self.p == 0:
            return None
        n_kept = self._n_kept
        draws = torch.empty(-(-x.numel() // PER_DRAW), dtype=torch.int64).random_(-(2**63), None)
        levels = draws.view(torch.int16)[: x.numel()].view(x.shape)  # each of -32768 to 32767 with equal probability
        return (levels < n_kept - N_LEVELS // 2).to(x.dtype).mul_(N_LEVELS / n_kept)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or x.device.type != "cpu" or not self.has_own_mask:
            return super().forward(x)
        mask = self.mask(x)
        return x if mask is None else x * mask
