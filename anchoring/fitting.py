"""Training replicas on the task alone, without terms, schedule or metrics: for reference models and relearning."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from anchoring.data import Data
from anchoring.errors import reason
from anchoring.native import Unsupported, compile_steps
from anchoring.replicas import Draws, Replicas, Run, Tensors, eager
from anchoring.step import Step, controls


def fit(
    model: Replicas, data: Data, task: Callable[[Tensor, Tensor], Tensor], seeds: Sequence[int], rates: np.ndarray
) -> Replicas:
    """Train replicas in place, by Adam on 64 samples a step.

    Args:
        model: the replicas.
        data: the samples to draw from.
        task: the loss of each sample [B], from outputs and targets [B, ...].
        seeds: one for each replica; it fixes the samples that the replica sees.
        rates: the learning rate of each step, [S].

    Returns:
        The same replicas, trained.

    Examples:
        >>> x = torch.rand(100, 2, generator=torch.Generator().manual_seed(0))
        >>> model = Replicas(lambda: nn.Linear(2, 2), seeds=[0, 1])
        >>> fitted = fit(model, Data(x), lambda y, x: (y - x).square().mean(-1), [0, 1], np.full(500, 0.01))
        >>> bool((fitted(x) - x).square().mean() < 0.001)
        True
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
    """Train as `fit` does, and yield the number of steps taken after every `every` steps."""
    draws = Draws(data, {}, seeds, batch, compiled=True)
    step = Step(model.one(), task, (), (), data.targets is not None)
    flat = model.flat()
    state: Tensors = [flat, torch.zeros_like(flat), torch.zeros_like(flat)]
    moves = controls(np.arange(len(rates)), rates, np.empty((len(rates), 0)))
    run: Run | None = None
    for start in range(0, len(rates), every):
        drawn = draws.next(min(every, len(rates) - start))
        if run is None:
            run = native(step, state, drawn, moves) or eager(step, state, [part[0] for part in drawn], moves[0])
        state = run(state, drawn, moves[start : start + every])
        model.set_flat(state[0])
        yield min(start + every, len(rates))


def native(step: Step, state: Tensors, batch: Tensors, moves: Tensor, name: str = "") -> Run | None:
    """Steps as native code for tensors like these, [R, ...], [S, R, B, ...] and [S, C]; None if that cannot be made."""
    try:
        return compile_steps(step, [part[0] for part in state], [part[0, 0] for part in batch], moves[0], name)
    except (Unsupported, OSError) as error:
        _warn_once(reason(error))
        return None


@cache
def _warn_once(why: str) -> None:
    warnings.warn(f"training continues without compilation, several times slower: {why}", RuntimeWarning, stacklevel=3)
