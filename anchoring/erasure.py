"""Erasing a concept from a layer after training, wherever it is: LEACE (Belrose et al. 2023, arXiv 2306.03819)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anchoring.layers import activations


@dataclass(frozen=True)
class Target:
    """Examples of a concept, for erasure and probes, which are fitted to them.

    Args:
        inputs: what the model takes, [N, ...].
        values: the concept as numbers, [N, T]: what a probe should predict, or erasure make unpredictable.

    Examples:
        >>> digits = torch.tensor([3, 1, 3])
        >>> Target(torch.rand(3, 64), (digits == 3).float().unsqueeze(1)).values
        tensor([[1.],
                [0.],
                [1.]])
    """

    inputs: Tensor
    values: Tensor


@torch.no_grad()
def leace(model: nn.Module, layer: str, target: Target) -> Callable[[Tensor], Tensor]:
    """Fit the smallest edit, in the least-squares sense, after which no linear map predicts the target from a layer.

    Args:
        model: one replica.
        layer: the layer that is edited, with activations [..., K].
        target: examples of the concept to erase.

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
    z = activations(model, target.inputs)[layer].double()
    if not z.isfinite().all():
        return lambda z: torch.full_like(z, torch.nan)
    eraser = LeaceEraser.fit(z, target.values.double())
    return lambda z: eraser(z.double()).to(z.dtype)
