"""Erasing a concept from a layer after training, wherever it is: LEACE (Belrose et al. 2023, arXiv 2306.03819)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anchoring.layers import UNEDITED, Edits, activations


@dataclass(frozen=True)
class Target:
    """Examples of a concept, for erasure and probes, which are fitted to them.

    Args:
        inputs: what the model takes, [N, ...].
        values: the concept as numbers: what a probe should predict, or erasure make unpredictable. [N, T], or
            [N, ..., T] with values of their own for the positions of a sequence.

    Examples:
        >>> digits = torch.tensor([3, 1, 3])
        >>> Target(torch.rand(3, 64), (digits == 3).float().unsqueeze(1)).values
        tensor([[1.],
                [0.],
                [1.]])
    """

    inputs: Tensor
    values: Tensor

    def at_positions(self, z: Tensor) -> Tensor:
        """The values for activations [N, ..., K] in rows, [N x positions, T]. A sample's hold at all its positions."""
        values = self.values.reshape(len(z), *[1] * (z.dim() - self.values.dim()), *self.values.shape[1:])
        return values.expand(*z.shape[:-1], -1).flatten(0, -2)


@torch.no_grad()
def leace(model: nn.Module, layer: str, target: Target, edits: Edits = UNEDITED) -> Callable[[Tensor], Tensor]:
    """Fit the smallest edit, in the least-squares sense, after which no linear map predicts the target from a layer.

    Args:
        model: one replica.
        layer: the layer that is edited, with activations [..., K].
        target: examples of the concept to erase.
        edits: edits of other layers, under which it is fitted.

    Returns:
        The edit: a function from activations [..., K] to activations [..., K]. It is fitted in double precision. If
        the replica's activations are not all finite, the edit makes all of them NaN.

    Examples:
        >>> x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
        >>> edit = leace(nn.Sequential(nn.Identity()), "0", Target(x, x[:, :1]))
        >>> (edit(x) - edit(x).mean(0)).mul(x[:, :1]).mean(0).abs().max().item() < 1e-6  # no covariance is left
        True
    """
    with warnings.catch_warnings():  # importing the package uses a deprecated part of PyTorch
        warnings.simplefilter("ignore", DeprecationWarning)
        from concept_erasure import LeaceEraser
    z = activations(model, target.inputs, edits)[layer].double()
    if not z.isfinite().all():
        return lambda z: torch.full_like(z, torch.nan)
    eraser = LeaceEraser.fit(z.flatten(0, -2), target.at_positions(z).double())
    return lambda z: eraser(z.double()).to(z.dtype)
