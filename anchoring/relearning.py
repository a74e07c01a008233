"""How hard it is to win a concept back after its dimensions were pruned."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from anchoring.sampling import Stream
from anchoring.setting import Setting
from excolor import colors
from excolor.concepts import oracle
from excolor.metrics import utility
from excolor.models import ColorMLP

EVERY, LIMIT = 5, 2000
OTHER_SEEDS = 2**31  # added to replicas' seeds, so that weights and samples are none that training had


def relearning(model: ColorMLP, setting: Setting, seeds: Sequence[int], *, reach: float = 0.9) -> Tensor:
    """Steps that replicas need to win a concept back after its dims were drawn anew, over those of new replicas: [R].

    Both learn reconstruction alone, by Adam from the same samples, until utility reaches `reach`; it is looked at every
    5 steps. 1 for replicas that knew nothing, and less the more they can build on: what is left of it, and, since new
    ones must learn that too, of all else. At most 2,000 steps count; NaN for a replica that diverged, or
    if neither gets there. Raises ValueError if the model's bottleneck is not the setting's.
    """
    if model.config != setting.model:
        raise ValueError(f"relearning: found a model {model.config}, expected the setting's {setting.model}")
    others = [seed + OTHER_SEEDS for seed in seeds]
    fresh = ColorMLP(setting.model, others)
    rejoined = copy.deepcopy(model).requires_grad_()
    dims = list(setting.ablation.dims)
    with torch.no_grad():
        rejoined.encoder.last.weight[:, :, dims] = fresh.encoder.last.weight[:, :, dims]
        rejoined.encoder.last.bias[:, :, dims] = fresh.encoder.last.bias[:, :, dims]
        rejoined.decoder.first.weight[:, dims, :] = fresh.decoder.first.weight[:, dims, :]
    again, scratch = (train_until(m, setting, others, reach) for m in (rejoined, fresh))
    neither = (again == LIMIT) & (scratch == LIMIT)
    return (again / scratch).masked_fill(neither | ~rejoined.finite(), torch.nan)


@torch.enable_grad()
def train_until(model: ColorMLP, setting: Setting, seeds: Sequence[int], reach: float, lr: float = 0.002) -> Tensor:
    """Train the model, in place, on reconstruction alone; steps until each replica's utility reaches `reach`: [R].

    At most 2,000, which is also the answer for a replica that does not get there.
    """
    stream = Stream(setting.data.make(), {}, seeds, setting.data.batch)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    probe = colors.rgb_centres(8)
    o = oracle(probe, setting.concept)
    steps = torch.full((model.replicas,), float(LIMIT))
    for step in range(EVERY, LIMIT + 1, EVERY):
        for x in stream.draw(EVERY)[0]:
            optimizer.zero_grad()
            (model.activations(x)["output"] - x).square().mean((-2, -1)).sum().backward()
            optimizer.step()
        with torch.no_grad():
            there = utility(model(probe), probe, o) >= reach
        steps = torch.where(there & (steps == LIMIT), float(step), steps)
        if bool((steps < LIMIT).all()):
            break
    return steps
