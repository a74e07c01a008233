"""Training replicas on a task alone, without a study's schedule or measures: reference models, and relearning."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from anchoring.data import Data
from anchoring.native import Unsupported, compile_steps
from anchoring.replicas import Draws, Replicas, Run, eager
from anchoring.step import Step, controls


def fit(
    model: Replicas, data: Data, task: Callable[[Tensor, Tensor], Tensor], seeds: Sequence[int], rates: np.ndarray
) -> Replicas:
    """Train replicas, in place, and return them.

    Args:
        model: the replicas.
        data: what they see, 64 samples a step.
        task: the loss of each sample [B], from outputs and targets.
        seeds: of the samples, one for each replica.
        rates: the learning rate of each step.
    """
    for _ in fitting(model, data, task, seeds, rates, every=len(rates)):
        pass
    return model


def fitting(
    model: Replicas,
    data: Data,
    task: Callable[[Tensor, Tensor], Tensor],
    seeds: Sequence[int],
    rates: np.ndarray,
    every: int,
    batch: int = 64,
) -> Iterator[int]:
    """As `fit`; yields after every so many steps how many have been taken."""
    draws = Draws(data, {}, seeds, batch)
    step = Step(model.one(), task, (), (), data.targets is not None)
    flat = model.flat()
    state: Sequence[Tensor] = [flat, torch.zeros_like(flat), torch.zeros_like(flat)]
    moves = controls(np.arange(len(rates)), rates, np.empty((len(rates), 0)))
    run: Run | None = None
    for start in range(0, len(rates), every):
        drawn = draws.next(min(every, len(rates) - start))
        if run is None:
            try:
                run = compile_steps(step, [s[0] for s in state], [part[0, 0] for part in drawn], moves[0])
            except (Unsupported, OSError):
                run = eager(step, state, [part[0] for part in drawn], moves[0])
        state = run(state, drawn, moves[start : start + every])
        model.set_flat(state[0])
        yield min(start + every, len(rates))
