"""Layers of RealMLP: Holzmueller, Grinsztajn and Steinwart, "Better by Default", NeurIPS 2024, arXiv 2407.04491."""

import torch
from torch import Tensor, nn

N_POINTS = 5  # of which a bias is a random mean


class Scaling(nn.Module):
    """A learned factor per feature, 1 at first: it lets the training select features (section 3 of the paper)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class ParametricActivation(nn.Module):
    """A learned mix of the activation and the identity for each unit, the activation alone at first."""

    def __init__(self, activation: nn.Module, size: int) -> None:
        super().__init__()
        self.activation = activation
        self.share = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return torch.lerp(x, self.activation(x), self.share)


class NTKLinear(nn.Module):
    """A linear layer in the neural tangent parametrization: weights of size 1, used divided by the root of `d_in`.

    So one learning rate fits layers of any width (Jacot, Gabriel and Hongler, NeurIPS 2018, arXiv 1806.07572).
    """

    def __init__(self, d_in: int, d_out: int) -> None:
        super().__init__()
        self.factor = d_in**-0.5
        self.weight = nn.Parameter(torch.randn(d_out, d_in))
        self.bias = nn.Parameter(torch.randn(d_out))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight.t(), alpha=self.factor)

    @torch.no_grad()
    def fit(self, x: Tensor) -> None:
        """Draw weights with which each output has the deviation 1 over these rows, and biases among the outputs.

        A bias is minus the weighted mean of `N_POINTS` random outputs, so that the unit bends within the data ("he+5"
        of the paper, after Steinwart, arXiv 1905.10686).
        """
        self.weight.normal_()
        deviation = (x @ self.weight.t() * self.factor).std(dim=0, correction=0)
        self.weight.div_(torch.where(deviation > 0, deviation, 1.0).unsqueeze(1))
        out = x @ self.weight.t() * self.factor
        rows = torch.randint(len(x), (N_POINTS, out.shape[1]), device=x.device)
        shares = torch.empty(rows.shape, device=x.device).exponential_()
        self.bias.copy_(-(out.gather(0, rows) * shares / shares.sum(dim=0)).sum(dim=0))


@torch.no_grad()
def fit_layers(net: nn.Sequential, x: Tensor) -> None:
    """Fit each `NTKLinear` to what it gets for these rows `(n, d_in)`, from the first to the last."""
    for layer in net:
        if isinstance(layer, NTKLinear):
            layer.fit(x)
        x = layer(x)
