"""How hard it is to relearn a concept after the weights of its dims are re-initialised."""

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
OTHER_SEEDS = 2**31  # added to replicas' seeds, so that weights and samples differ from those of training


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

    Both learn the task alone, by Adam from the same samples, until they know enough, which is tested every 5 steps.
    The ratio is 1 for replicas that knew nothing. It is lower the more they can build on: what is left of the concept,
    and everything else, which new models must learn too.

    Args:
        experiment: the experiment that the setting is for.
        model: the trained replicas; they are not changed.
        setting: the setting. Its ablation names the dims that are re-initialised.
        seeds: the replicas' seeds. Re-initialised weights and samples come from other seeds, derived from these.
        knows: how much of the task one replica knows, a scalar.
        reach: how much of it is enough.

    Returns:
        The ratio for each replica, [R]. At most 2,000 steps are counted. It is NaN for a replica that diverged, or if
        neither it nor the new model knows enough by then.

    Raises:
        ValueError: the replicas are not of the setting's architecture.

    Examples:
        >>> from excolor.experiment import Colors
        >>> rows = [["STEP", "lr"], ["0", "0.01"], ["99", ""]]
        >>> setting = Colors().setting({"schedule": {"file": "lr.csv", "rows": rows}})
        >>> model = Colors().model(setting, seeds=[0, 1])
        >>> def knows(one):  # every model does at once
        ...     return torch.tensor(1.0)
        >>> relearning(Colors(), model, setting, [0, 1], knows)
        tensor([1., 1.])
    """
    others = [seed + OTHER_SEEDS for seed in seeds]
    fresh = experiment.model(setting, others)
    found, expected = ({name: tuple(p.shape[1:]) for name, p in m.state_dict().items()} for m in (model, fresh))
    if found != expected:
        raise ValueError(f"relearning: found a model with weights {found}, expected the setting's: {expected}")
    layer, dims = setting.ablation.layer, list(setting.ablation.removed)
    rejoined = Replicas.of([graft(one, new, layer, dims) for one, new in zip(model, fresh, strict=True)])
    again, scratch = (train_until(experiment, m, setting, others, knows, reach) for m in (rejoined, fresh))
    neither = (again == LIMIT) & (scratch == LIMIT)
    return (again / scratch).masked_fill(neither | ~model.finite(), torch.nan)


@torch.no_grad()
def graft(one: nn.Module, new: nn.Module, layer: str, dims: Sequence[int]) -> nn.Module:
    """A copy of one replica with another's weights around some dims of a layer."""
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
    """Train replicas in place, on the task alone, and return the steps until each knows enough: [R].

    It is 2,000, the most that are taken, for a replica that never does.
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
