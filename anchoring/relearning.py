"""How hard it is to win a concept back after the weights of its dims were drawn anew."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from anchoring.ablation import weights_around
from anchoring.authored import Authored
from anchoring.fitting import fitting
from anchoring.replicas import Replicas

EVERY, LIMIT, RATE = 5, 2000, 0.002
OTHER_SEEDS = 2**31  # added to replicas' seeds, so that weights and samples are none that training had


def relearning(
    experiment: Authored,
    model: Replicas,
    setting: Any,
    seeds: Sequence[int],
    knows: Callable[[nn.Module], Tensor],
    *,
    reach: float = 0.9,
) -> Tensor:
    """Steps to relearn a concept after its dims are re-initialised, divided by the steps that new models need: [R].

    Both learn the task alone, by Adam from the same samples, until they know enough; it is looked at every 5 steps. 1
    for replicas that knew nothing, and less the more they can build on: what is left of the concept, and, since new
    ones must learn that too, of all else. At most 2,000 steps count; NaN for a replica that diverged, or if neither
    gets there.

    Args:
        experiment: what the setting is one of.
        model: the trained replicas, which stay as they are.
        setting: whose ablation's dims are drawn anew.
        seeds: the replicas'.
        knows: how much of the task one replica knows, a scalar.
        reach: how much is enough.

    Raises:
        ValueError: the replicas are not of the setting's architecture.
    """
    others = [seed + OTHER_SEEDS for seed in seeds]
    fresh = experiment.model(setting, others)
    found, expected = ({name: tuple(p.shape[1:]) for name, p in m.state_dict().items()} for m in (model, fresh))
    if found != expected:
        raise ValueError(f"relearning: found a model of {found}, expected the setting's: {expected}")
    layer, dims = setting.ablation.layer, list(setting.ablation.removed)
    rejoined = Replicas.of([graft(one, new, layer, dims) for one, new in zip(model, fresh, strict=True)])
    again, scratch = (train_until(experiment, m, setting, others, knows, reach) for m in (rejoined, fresh))
    neither = (again == LIMIT) & (scratch == LIMIT)
    return (again / scratch).masked_fill(neither | ~model.finite(), torch.nan)


@torch.no_grad()
def graft(one: nn.Module, new: nn.Module, layer: str, dims: Sequence[int]) -> nn.Module:
    """One replica with another's weights around some dims of a layer; both stay as they are."""
    grafted = copy.deepcopy(one)
    (writer, reader), (new_writer, new_reader) = weights_around(grafted, layer), weights_around(new, layer)
    writer.weight[dims] = new_writer.weight[dims]
    reader.weight[:, dims] = new_reader.weight[:, dims]
    if writer.bias is not None:
        writer.bias[dims] = new_writer.bias[dims]
    return grafted


def train_until(
    experiment: Authored,
    model: Replicas,
    setting: Any,
    seeds: Sequence[int],
    knows: Callable[[nn.Module], Tensor],
    reach: float,
) -> Tensor:
    """Train replicas, in place, on the task alone; steps until each knows enough: [R].

    At most 2,000, which is also the answer for a replica that does not get there.
    """
    steps = torch.full((len(seeds),), float(LIMIT))
    task = partial(experiment.loss, setting=setting)
    rates, batch = np.full(LIMIT, RATE), setting.data.batch
    for step in fitting(model, experiment.data(setting), task, seeds, rates, EVERY, batch):
        with torch.no_grad():
            there = model.map(knows) >= reach
        steps = torch.where(there & (steps == LIMIT), float(step), steps)
        if bool((steps < LIMIT).all()):
            break
    return steps
