"""One optimizer step of all replicas, as a pure function of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from anchoring.terms import Term
from excolor.models import ColorMLP

if TYPE_CHECKING:
    from anchoring.setting import Setting

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # Adam's, as torch.optim.Adam has them


class State(NamedTuple):
    """What a step changes: all parameters of a replica in a row, and Adam's two moments of them, [R, P] each."""

    parameters: Tensor
    first: Tensor
    second: Tensor


class Step:
    """A step of Adam down each replica's loss: the reconstruction error and the terms, each times its weight.

    No replica's loss depends on another's parameters, so the gradient of the sum of losses is each replica's own, and
    one that diverges leaves the others alone.
    """

    def __init__(self, model: ColorMLP, terms: Sequence[Term]):
        self._loss = _Loss(model, terms)
        self._names = [f"model.{name}" for name, _ in model.named_parameters()]
        self._parameters = list(model.parameters())

    def __call__(self, state: State, x: Tensor, labels: dict[str, Tensor], controls: Tensor) -> State:
        """The next state, by colours [R, B, 3], labels [R, B] each, and `controls` [2 + terms]."""
        rate, correction, *weights = controls.unbind()
        parameters = [p.detach().requires_grad_() for p in unflatten(state.parameters, self._parameters)]
        with torch.enable_grad():
            named = dict(zip(self._names, parameters, strict=True))
            loss = torch.func.functional_call(self._loss, named, (x, labels, weights))
            gradient = flatten(torch.autograd.grad(loss.sum(), parameters))
        first = state.first.lerp(gradient, 1 - BETA1)
        second = (state.second * BETA2).addcmul(gradient, gradient, value=1 - BETA2)
        return State(state.parameters - rate * first / (second.sqrt() / correction + EPSILON), first, second)


def flatten(parameters: Sequence[Tensor]) -> Tensor:
    """A model's parameters, [R, ...] each, as rows [R, P]."""
    return torch.cat([p.flatten(1) for p in parameters], 1)


def unflatten(rows: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Rows [R, P] as tensors of the shapes of a model's parameters, but of as many replicas as there are rows."""
    parts = rows.split([p.shape[1:].numel() for p in parameters], 1)
    return [part.unflatten(1, p.shape[1:]) for part, p in zip(parts, parameters, strict=True)]


def controls(steps: np.ndarray, rates: np.ndarray, weights: np.ndarray) -> Tensor:
    """What moves the steps of these numbers [S], counted from 0: [S, 2 + terms] of learning rates [S], corrected, as is
    the second moment, for Adam's start from zero moments (arXiv 1412.6980, section 2), and weights [S, terms]."""
    first, second = 1 - BETA1 ** (steps + 1.0), np.sqrt(1 - BETA2 ** (steps + 1.0))
    return torch.from_numpy(np.column_stack([rates / first, second, weights])).float()


def step_kind(setting: Setting, acting: Sequence[bool]) -> str:
    """What a step computes when those of the terms act in it, but for the values of its arguments."""
    terms = [term.model_dump_json() for term, acts in zip(setting.trained.values(), acting, strict=True) if acts]
    return "\n".join([setting.model.model_dump_json(), str(setting.data.batch), *setting.labels, *terms])


def step_kinds(setting: Setting) -> set[str]:
    """The kinds of step that a setting's training takes, each of which would be compiled by itself."""
    weights = setting.weights_in_training(setting.schedule.table())
    return {step_kind(setting, acting) for acting in np.unique(weights != 0, axis=0)}


class _Loss(nn.Module):
    """Each replica's loss [R]."""

    def __init__(self, model: ColorMLP, terms: Sequence[Term]):
        super().__init__()
        self.model = model
        self._terms = tuple(terms)

    def forward(self, x: Tensor, labels: dict[str, Tensor], weights: Sequence[Tensor]) -> Tensor:
        layers = self.model.activations(x)
        loss = (layers["output"] - x).square().mean((-2, -1))
        for weight, term in zip(weights, self._terms, strict=True):
            loss = loss + weight * term.total(layers, labels, self.model.decode)
        return loss
