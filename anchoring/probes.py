"""What a probe can read from activations. It is too slow to measure at every rung, so it is for confirmed models."""

from __future__ import annotations

import math

import torch
from torch import Tensor

FEATURES, RIDGE = 300, 1e-3


@torch.no_grad()
def probe_r2(z: Tensor, target: Tensor, fitted: Tensor) -> Tensor:
    """Held-out R² of a nonlinear probe.

    The probe is ridge regression on 300 random Fourier features (Rahimi and Recht, 2007) of the standardised
    activations, in double precision.

    Args:
        z: activations of one replica, [N, K].
        target: the quantities to predict, [N, T]. Their squared errors are summed before R² is taken.
        fitted: which samples the probe is fitted to, [N] bool. It is tested on the others.

    Returns:
        R², a scalar in [0, 1]: 0 if it would be negative, or if there are no activations (K = 0).

    Examples:
        >>> z = torch.linspace(-1, 1, 200).unsqueeze(1)
        >>> even = torch.arange(200) % 2 == 0
        >>> bool(probe_r2(z, z.square(), fitted=even) > 0.99)
        True
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
