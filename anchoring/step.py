"""One training step of one replica, as a pure function of tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from anchoring.layers import Edits, activations
from anchoring.terms import Seen, Term

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # the defaults of torch.optim.Adam

Task = Callable[[Tensor, Tensor], Tensor]
"""The task's loss of each sample [B], from outputs [B, ...] and targets [B, ...]."""


class Step:
    """A step of Adam down a replica's loss: the task's mean loss and the terms, each times its weight.

    Args:
        model: a model of the architecture; its weights are not used.
        task: the task's loss.
        terms: the terms that act.
        labels: the labels' names, in the order in which the batch has them.
        targets: whether the batch has targets. Otherwise the inputs are the targets.
    """

    def __init__(self, model: nn.Module, task: Task, terms: Sequence[Term], labels: Sequence[str], targets: bool):
        self._model = model
        self._task = task
        self._terms = tuple(terms)
        self._labels = tuple(labels)
        self._targets = targets
        self._shapes = {name: p.shape for name, p in model.named_parameters()}
        self._frozen = {name for name, p in model.named_parameters() if not p.requires_grad}

    def __call__(self, parameters: Tensor, first: Tensor, second: Tensor, *batch_and_controls: Tensor) -> Any:
        """Take the step, and return the next parameters and moments.

        Args:
            parameters, first, second: all parameters in a row, and Adam's two moments of them, [P] each.
            batch_and_controls: inputs [B, ...], targets [B, ...] if any, labels [B] each, and `controls` [2 + terms].
        """
        *batch, controls = batch_and_controls
        rate, correction, *weights = controls.unbind()
        gradient = grad(self._loss)(parameters, batch, weights)
        first = first.lerp(gradient, 1 - BETA1)
        second = (second * BETA2).addcmul(gradient, gradient, value=1 - BETA2)
        return parameters - rate * first / (second.sqrt() / correction + EPSILON), first, second

    def _loss(self, parameters: Tensor, batch: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
        named = self._named(parameters)
        x, *rest = batch
        target = rest.pop(0) if self._targets else x

        def run(edits: Edits) -> dict[str, Tensor]:
            return _activations(self._model, named, x, edits)

        def task(output: Tensor) -> Tensor:
            return self._task(output, target)

        layers = run({})
        loss = task(layers["output"]).mean()
        seen = Seen(layers, dict(zip(self._labels, rest, strict=True)), run, task)
        for weight, term in zip(weights, self._terms, strict=True):
            loss = loss + weight * term.total(seen)
        return loss

    def _named(self, parameters: Tensor) -> dict[str, Tensor]:
        parts = parameters.split([math.prod(shape) for shape in self._shapes.values()])
        named = {name: part.view(shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)}
        return {name: p.detach() if name in self._frozen else p for name, p in named.items()}


def controls(steps: np.ndarray, rates: np.ndarray, weights: np.ndarray) -> Tensor:
    """The learning rate, the second moment's correction and the terms' weights of each step [S]: [S, 2 + terms].

    Rate and moment are corrected for Adam's start from zero moments (arXiv 1412.6980, section 2). Steps count from 0.
    """
    first, second = 1 - BETA1 ** (steps + 1.0), np.sqrt(1 - BETA2 ** (steps + 1.0))
    return torch.from_numpy(np.column_stack([rates / first, second, weights])).float()


class _Activations(nn.Module):
    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, edits: Edits) -> dict[str, Tensor]:
        return activations(self.model, x, edits)


def _activations(model: nn.Module, parameters: dict[str, Tensor], x: Tensor, edits: Edits) -> dict[str, Tensor]:
    named = {f"model.{name}": p for name, p in parameters.items()}
    return functional_call(_Activations(model), named, (x, edits))
