"""How fast one core could be at most, if a replica-step were only arithmetic, or only memory traffic."""

from __future__ import annotations

import torch

from benchmarks.figures import Row, Runs, at_least, race, seconds

LAYERS = ((3, 16), (16, 4), (4, 16), (16, 3))
BATCH, LATENTS, LABELS = 64, 4, 2


def multiply_adds() -> int:
    """Multiply-adds of a replica-step of subspace ablation: layers forward and backward, and Separate.

    GELU, Adam and other elementwise work are not counted.
    """
    forward = BATCH * sum(n * m for n, m in LAYERS)
    to_weights, to_inputs = forward, forward - BATCH * LAYERS[0][0] * LAYERS[0][1]  # colours need no gradient
    cosines = 2 * BATCH**2 * LATENTS  # forward, and as many backward, since they are symmetric
    powers = 6 * BATCH**2  # c^2, c^4, c^8, c^10; backward c^9 and times 10
    return forward + to_weights + to_inputs + cosines + powers


def moved_bytes() -> int:
    """Bytes that a replica-step moves.

    Parameters and both moments are read and written; samples, labels and activations are moved once.
    """
    parameters = sum(n * m + m for n, m in LAYERS)
    samples = BATCH * (3 + LABELS)
    activations = BATCH * sum(m for _, m in LAYERS) + BATCH * 2 * LAYERS[0][1] + BATCH**2  # and GELU's, and the cosines
    return 4 * (2 * 3 * parameters + samples + activations)


def floors(ours: Runs) -> list[Row]:
    """A row for each bound, and how much of it `ours` reaches, in replica-steps per second."""
    a, b = torch.rand(2, 512, 512)
    source, target = torch.rand(2, 2**25)  # 128 MiB each
    measured = race(
        {
            "multiply-adds": lambda: 20 * 512**3 / seconds(lambda: [torch.mm(a, b) for _ in range(20)]),
            "bytes": lambda: 2 * 4 * source.numel() / seconds(lambda: target.copy_(source)),
        },
        rounds=6,
    )
    each = {"multiply-adds": multiply_adds(), "bytes": moved_bytes()}
    rows = []
    for kind, run in measured.items():
        bound = Runs(tuple(rate / each[kind] for rate in run.values[1:]))  # the first run warms up
        what = f"bound by {kind} alone: {each[kind]:,} at {run.median / 1e9:.0f} G/s"
        reached = Runs(tuple(rate / bound.median for rate in ours.values), ".0%")
        targets = (at_least(reached, 0.5, "≥ 50%"),) if kind == "multiply-adds" else ()
        rows.append(Row(what, bound, ratio=f"reached: {reached}", targets=targets))
    return rows
