"""What an author of an experiment writes, and what training and measuring ask of it: everything of one replica."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, SupportsFloat

import torch
from torch import Tensor, nn

from anchoring.ablation import ABLATIONS, Ablation
from anchoring.data import Data
from anchoring.erasure import Target
from anchoring.errors import InputError
from anchoring.layers import UNEDITED, Edited, Edits
from anchoring.replicas import Replicas
from anchoring.setting import Setting
from anchoring.terms import TERMS, Term


class Authored(ABC):
    """The model, the data and the measures of an experiment; `AnchoredExperiment` adds what studies ask."""

    name: ClassVar[str]
    Setting: ClassVar[type[Setting]] = Setting
    attributes: ClassVar[Sequence[str]] = ()
    """What labels may be given for: the keys of `Data.attributes`."""
    terms: ClassVar[Sequence[type[Term]]] = TERMS
    """The classes of terms that a setting may name: `(*TERMS, MyTerm)` adds one."""
    ablations: ClassVar[Sequence[type[Ablation]]] = ABLATIONS
    """The kinds of ablation that a setting may name."""

    @abstractmethod
    def build(self, setting: Any) -> nn.Module:
        """One model. Its submodules are its layers; a forward takes [B, ...] and returns [B, ...].

        It is a function of its parameters and its input: without dropout, and without running statistics.
        """

    @abstractmethod
    def data(self, setting: Any) -> Data:
        """What it is trained on. It is asked for often, so cache what takes long."""

    @abstractmethod
    def metrics(self, setting: Any) -> Mapping[str, Any]:
        """What `measure` measures, by name (`study.experiment.Metric`), the objective first.

        Two more are measured if they are named: `labelled`, the samples that carried a label of a term in training, and
        `loss.<term>` of each term that acts in validation.
        """

    @abstractmethod
    def measure(self, intact: Edited, ablated: Edited, setting: Any) -> Mapping[str, Tensor]:
        """The metrics of one replica: scalars, by name. Each model is a function from inputs to outputs."""

    def loss(self, output: Tensor, target: Tensor, setting: Any) -> Tensor:
        """The task's loss of each sample [B]; unless it says otherwise, the mean squared error."""
        return (output - target).square().reshape(len(output), -1).mean(1)

    def validation(self, setting: Any) -> Data | None:
        """Data that training does not see, for terms that act in validation."""
        return None

    def target(self, setting: Any) -> Target | None:
        """What the concept is, for erasure and probes that are fitted to it."""
        return None

    def references(self, setting: Any) -> Sequence[Path]:
        """Files of fixed settings to compare with."""
        return ()

    def check(self, setting: Any) -> None:  # noqa: B027  # may be given
        """Raise ValueError, starting with the offending key, if a setting's own tables do not fit together."""

    def example(self, setting: Any) -> Tensor:
        """Two inputs, by whose shape the layers' widths are found."""
        return self.data(setting).inputs[:2]

    def model(self, setting: Any, seeds: Sequence[int]) -> Replicas:
        """Untrained replicas, one for each seed."""
        return Replicas(partial(self.build, setting), seeds)

    def edits(self, setting: Any) -> Callable[[nn.Module], Edits]:
        """What a setting's ablation does to the activations of one replica."""
        return partial(setting.ablation.edits, target=self.target(setting))

    def ablated(self, model: Replicas, setting: Any) -> Callable[[Tensor], Tensor]:
        """The replicas as a setting's ablation leaves them: a function from inputs [N, ...] to outputs [R, N, ...]."""
        return model.edited(self.edits(setting))

    def measured(
        self, model: Replicas, setting: Any, edits: Callable[[nn.Module], Edits] | None = None
    ) -> dict[str, Tensor]:
        """`measure`, of every replica, [R] each: ablated as the setting says or with other edits.

        Raises:
            InputError: `measure` returns what `metrics` does not declare, or a metric that is not a number.
        """
        edits = edits or self.edits(setting)

        def both(one: nn.Module) -> dict[str, Tensor]:
            metrics = self.measure(Edited(one, UNEDITED), Edited(one, edits(one)), setting)
            self._expect_declared(metrics, setting)
            return dict(metrics)

        with torch.no_grad():
            return {name: metric.float() for name, metric in model.map(both).items()}

    def _expect_declared(self, metrics: Mapping[str, Any], setting: Any) -> None:
        declared, where = self.metrics(setting), f"experiment {self.name}: measure"
        if next(iter(declared)) not in metrics:
            raise InputError(f"{where}: found no metric {next(iter(declared))!r}, the first that is declared")
        for name, metric in metrics.items():
            if name not in declared:
                known = ", ".join(declared)
                raise InputError(f"{where}: found metric {name!r}, which is not declared, expected one of {known}")
            if not isinstance(metric, Tensor | SupportsFloat):
                raise InputError(f"{where}: {name}: found {metric!r}, expected a number")
            if isinstance(metric, Tensor) and metric.dim():
                raise InputError(f"{where}: {name}: found a tensor {list(metric.shape)}, expected a single number")
