"""How hard it is to relearn a concept after the weights of what an ablation takes away are re-initialised."""

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
from anchoring.layers import Edits
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
    edits: Callable[[nn.Module], Edits] | None = None,
) -> Tensor:
    """Steps to relearn an ablated concept from new weights, divided by the steps that new models need: [R].

    The ablation stays in the weights. New weights are added in the directions that it took away, which are those of the
    ablated dims, or of whatever an affine edit projects out.

    Both learn the task alone, by Adam from the same samples, until they know enough, which is tested every 5 steps.
    The ratio is 1 for replicas that knew nothing. It is lower the more they can build on: what is left of the concept,
    and everything else, which new models must learn too.

    Args:
        experiment: the experiment that the setting is for.
        model: the trained replicas; they are not changed.
        setting: the setting. It names the layer that is ablated.
        seeds: the replicas' seeds. Re-initialised weights and samples come from other seeds, derived from these.
        knows: how much of the task one replica knows, a scalar.
        reach: how much of it is enough.
        edits: an ablation of that layer to use instead of the setting's, which must be affine in its activations.

    Returns:
        The ratio for each replica, [R]. At most 2,000 steps are counted. It is NaN for a replica that diverged, or if
        neither it nor the new model knows enough by then.

    Raises:
        ValueError: the replicas are not of the setting's architecture, or the ablation is not affine or of one layer.

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
    layer, edits = setting.ablation.layer, edits or experiment.edits(setting)
    ways = [edits(one) for one in model]
    if any(len(way) != 1 for way in ways):
        raise ValueError(f"relearning: found edits of {', '.join(ways[0])}, expected those of one layer")
    pairs = zip(model, fresh, ways, strict=True)
    rejoined = Replicas.of([graft(one, new, layer, *way.values()) for one, new, way in pairs])
    again, scratch = (train_until(experiment, m, setting, others, knows, reach) for m in (rejoined, fresh))
    neither = (again == LIMIT) & (scratch == LIMIT)
    return (again / scratch).masked_fill(neither | ~model.finite(), torch.nan)


@torch.no_grad()
def graft(one: nn.Module, new: nn.Module, layer: str, edit: Callable[[Tensor], Tensor]) -> nn.Module:
    """A copy of one replica with an edit z -> A z + c in the weights around a layer, and another's weights in I - A."""
    grafted = copy.deepcopy(one)
    (writer, reader), (new_writer, new_reader) = weights_around(grafted, layer), weights_around(new, layer)
    width = writer.out_features
    constant = edit(torch.zeros(1, width))[0]
    kept = (edit(torch.eye(width)) - constant).mT
    probe = torch.arange(1.0, width + 1)
    if not (kept @ probe + constant).allclose(edit(probe.unsqueeze(0))[0], atol=1e-4, equal_nan=True):
        raise ValueError(f"relearning: found an edit of {layer} that is not affine, expected one such as ablated dims")
    removed = torch.eye(width) - kept
    writer.weight.copy_(kept @ writer.weight + removed @ new_writer.weight)
    reader.weight.copy_(reader.weight @ kept + new_reader.weight @ removed)
    if writer.bias is not None:
        writer.bias.copy_(kept @ writer.bias + removed @ new_writer.bias + constant)
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
