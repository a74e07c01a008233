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
    """What a concept is, for what is fitted to it: inputs [N, ...], and what is to be read of each, [N, T]."""

    inputs: Tensor
    values: Tensor


@torch.no_grad()
def leace(model: nn.Module, layer: str, target: Target) -> Callable[[Tensor], Tensor]:
    """Fit the smallest edit, in the least-squares sense, after which no linear map finds the target in a layer.

    It is fitted in double precision. Of a replica whose activations are not all finite, nothing is left but NaN.

    Args:
        model: one replica.
        layer: whose activations [..., K] are edited.
        target: what is to be erased.
    """
    with warnings.catch_warnings():  # the package compiles what we do not use by what PyTorch deprecates
        warnings.simplefilter("ignore", DeprecationWarning)
        from concept_erasure import LeaceEraser
    z = activations(model, target.inputs)[layer].double()
    if not z.isfinite().all():
        return lambda z: torch.full_like(z, torch.nan)
    eraser = LeaceEraser.fit(z, target.values.double())
    return lambda z: eraser(z.double()).to(z.dtype)
