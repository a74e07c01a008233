"""How interventions at run time shrink activations in a subspace, or turn them away from it.

A subspace is given by orthonormal rows, `basis` [n, K]. The alignment of an activation z with it is the share of z's
length that lies in it, `||P z|| / ||z||`. If `signed`, the basis is a single row, a direction, and the alignment is
the cosine with it. The falloff and the mappings are those of the paper's interventions (arXiv 2512.12469).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def alignment(z: Tensor, basis: Tensor, signed: bool = False) -> Tensor:
    """The alignment of activations [..., K] with a subspace, in [0, 1], or a direction, in [-1, 1]: [...]."""
    coordinates = z @ basis.T
    along = coordinates[..., 0] if signed else coordinates.norm(dim=-1)
    return along / z.norm(dim=-1).clamp(min=1e-12)


def falloff(x: Tensor, start: float, amount: float, power: float) -> Tensor:
    """The bounded falloff of an alignment: `amount ((x - start)/(1 - start))^power` above `start`, else 0."""
    rise = ((x - start) / (1 - start)).clamp(min=0)
    return torch.where(x > start, amount * rise.pow(power), 0.0)


def suppress(z: Tensor, basis: Tensor, gate: Callable[[Tensor], Tensor], signed: bool = False) -> Tensor:
    """Take away the share `gate(alignment)` of an activation's part in the subspace: `z - gate P z`, [..., K]."""
    share = gate(alignment(z, basis, signed).clamp(max=1))
    return z - share.unsqueeze(-1) * (z @ basis.T @ basis)


@dataclass(frozen=True)
class Bend:
    """A mapping of alignments from [start, 1] to [start, end]. Those below `start` stay as they are.

    `linear` shrinks the range evenly. `bezier` is the cubic curve that leaves (start, start) with slope 1 and arrives
    at (1, end) with slope 0. Its control points lie 1/sqrt(2) of the way to the point where the two tangents meet.
    """

    kind: str
    start: float
    end: float

    def __post_init__(self) -> None:
        if self.kind not in ("linear", "bezier"):
            raise ValueError(f"mapping: found {self.kind!r}, expected linear or bezier")

    def __call__(self, x: Tensor) -> Tensor:
        a, b = self.start, self.end
        mapped = self._bezier(x.clamp(a, 1)) if self.kind == "bezier" else a + (x - a) * (b - a) / (1 - a)
        return torch.where(x > a, mapped, x)

    def _bezier(self, x: Tensor) -> Tensor:
        a, b, near = self.start, self.end, 0.5**0.5
        inner_x = a + near * (b - a), 1 - near * (1 - b)  # the tangents meet at (b, b)
        inner_y = a + near * (b - a), b

        def curve(t: Tensor, first: float, inner: tuple[float, float], last: float) -> Tensor:
            return (
                (1 - t) ** 3 * first
                + 3 * (1 - t) ** 2 * t * inner[0]
                + 3 * (1 - t) * t**2 * inner[1]
                + t**3 * last
            )  # fmt: skip

        low, high = torch.zeros_like(x), torch.ones_like(x)
        for _ in range(30):  # x rises with t: bisect
            middle = (low + high) / 2
            below = curve(middle, a, inner_x, 1.0) < x
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return curve((low + high) / 2, a, inner_y, b)


def repel(z: Tensor, basis: Tensor, mapping: Bend, signed: bool = False) -> Tensor:
    """Turn activations [..., K] away from the subspace, keeping their length, until their alignment is as mapped.

    Each turns in the plane of its part in the subspace and its part orthogonal to it. If it has no orthogonal part, it
    turns towards a coordinate axis: the axis that the subspace covers least.
    """
    x = alignment(z, basis, signed)
    along = z @ basis.T @ basis
    other = torch.eye(z.shape[-1], dtype=z.dtype)[basis.square().sum(0).argmin()]
    other = other - other @ basis.T @ basis
    across = z - along
    length = z.norm(dim=-1, keepdim=True)
    across = torch.where(across.norm(dim=-1, keepdim=True) > 1e-6 * length, across, other)
    mapped = mapping(x).clamp(-1, 1).unsqueeze(-1)
    turned = length * (mapped * _unit(along) + (1 - mapped.square()).sqrt() * _unit(across))
    return torch.where((x > mapping.start).unsqueeze(-1), turned, z)


def _unit(z: Tensor) -> Tensor:
    return z / z.norm(dim=-1, keepdim=True).clamp(min=1e-12)
