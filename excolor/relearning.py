"""How hard it is to win hue back after its dimensions were pruned."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from excolor import colors
from excolor.metrics import utility
from excolor.models import ColorMLP
from excolor.sampling import Stream
from excolor.setting import Setting

EVERY = 5


def relearning(
    model: ColorMLP, setting: Setting, seeds: Sequence[int], *, reach: float = 0.9, limit: int = 2000, lr: float = 0.002
) -> Tensor:
    """Steps that pruned replicas need to win hue back, over the steps that new ones need to learn it: [R].

    The ablated dims are there again, initialised at random as new ones are. Both learn reconstruction alone, by Adam,
    from the same samples, until utility reaches `reach`; it is looked at every 5 steps. One that has not reached it by
    `limit` steps counts as if it did then. At least 1 if nothing of hue was left to build on.
    """
    fresh = ColorMLP(setting.model, [seed + 1 for seed in seeds])  # other random weights than the model began with
    rejoined = copy.deepcopy(model)
    dims = list(setting.ablation.dims)
    with torch.no_grad():
        rejoined.encoder.last.weight[:, :, dims] = fresh.encoder.last.weight[:, :, dims]
        rejoined.encoder.last.bias[:, :, dims] = fresh.encoder.last.bias[:, :, dims]
        rejoined.decoder.first.weight[:, dims, :] = fresh.decoder.first.weight[:, dims, :]
    again, scratch = (steps_to(m, setting, seeds, reach, limit, lr) for m in (rejoined, fresh))
    return again / scratch


def steps_to(model: ColorMLP, setting: Setting, seeds: Sequence[int], reach: float, limit: int, lr: float) -> Tensor:
    """Steps of plain reconstruction after which each replica's utility reaches `reach`, at most `limit`: [R]."""
    stream = Stream(setting.data.make(), {}, seeds, setting.data.batch)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    probe = colors.rgb_centres(8)
    steps = torch.full((model.replicas,), float(limit))
    for step in range(EVERY, limit + 1, EVERY):
        for x in stream.draw(EVERY)[0]:
            optimizer.zero_grad()
            (model.activations(x)["output"] - x).square().mean((-2, -1)).sum().backward()
            optimizer.step()
        with torch.no_grad():
            there = utility(model(probe), probe) >= reach
        steps = torch.where(there & (steps == limit), float(step), steps)
        if bool((steps < limit).all()):
            break
    return steps
