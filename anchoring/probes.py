"""What a probe can read from activations: a measure too slow for every rung, and meant for a few confirmed models."""

from __future__ import annotations

import math

import torch
from torch import Tensor

FEATURES, RIDGE = 300, 1e-3


@torch.no_grad()
def probe_r2(z: Tensor, target: Tensor, fitted: Tensor) -> Tensor:
    """Held-out R² of a nonlinear probe, a scalar in [0, 1].

    The probe is ridge regression on 300 random Fourier features (Rahimi and Recht, 2007) of the standardised
    activations, in double precision.

    Args:
        z: activations of one replica, [N, K]; of no dims, K = 0, the answer is 0.
        target: what is to be read, [N, T]; R² is of all T together.
        fitted: which samples the probe is fitted to, [N]; it is tested on the others.
    """
    if z.shape[1] == 0:
        return z.new_zeros(())
    z, target = z.double(), target.double()
    z = (z - z.mean(0)) / z.std(0).clamp(min=1e-9)
    generator = torch.Generator().manual_seed(0)
    frequencies = torch.randn(z.shape[1], FEATURES, generator=generator, dtype=torch.float64) * 1.5
    phases = 2 * math.pi * torch.rand(FEATURES, generator=generator, dtype=torch.float64)
    features = torch.cat([(z @ frequencies + phases).cos(), torch.ones_like(z[:, :1])], -1)
    a, b = features[fitted], target[fitted]
    gram = a.mT @ a + RIDGE * len(b) / FEATURES * torch.eye(FEATURES + 1, dtype=a.dtype)
    probe = torch.linalg.solve(gram, a.mT @ b)
    residual = (features[~fitted] @ probe - target[~fitted]).square().sum()
    spread = (target[~fitted] - target[~fitted].mean(0)).square().sum()
    return (1 - residual / spread).clamp(min=0).float()
