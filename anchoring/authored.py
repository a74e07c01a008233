"""What the author of an experiment writes, always for one replica, and how it is applied to many."""

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
    """The model, the data and the metrics of an experiment. `AnchoredExperiment` adds what studies need."""

    name: ClassVar[str]
    """The name by which search spaces choose the experiment."""
    Setting: ClassVar[type[Setting]] = Setting
    """The class of its settings."""
    attributes: ClassVar[Sequence[str]] = ()
    """The keys of `Data.attributes`, which labels may be given for."""
    terms: ClassVar[Sequence[type[Term]]] = TERMS
    """The terms that a setting may name: `(*TERMS, MyTerm)` adds one."""
    ablations: ClassVar[Sequence[type[Ablation]]] = ABLATIONS
    """The kinds of ablation that a setting may name: `(*ABLATIONS, MyKind)` adds one."""

    @abstractmethod
    def build(self, setting: Any) -> nn.Module:
        """Make one untrained model, whose submodules are its layers.

        Args:
            setting: a setting of this experiment, as in all methods.

        Returns:
            A module from inputs [B, ...] to outputs [B, ...]. Outputs may depend on parameters and inputs only: it has
            no dropout and no running statistics.
        """

    @abstractmethod
    def data(self, setting: Any) -> Data:
        """The data it is trained on. This is called often, so cache whatever takes long."""

    def observe(self, intact: Edited, ablated: Edited, setting: Any) -> tuple[Any, ...]:
        """The arguments that every method under a `study.experiment.Metric` gets.

        Args:
            intact: the trained model, a function from inputs [B, ...] to outputs [B, ...].
            ablated: the same model ablated.
            setting: its setting.

        Returns:
            By default these three. Override it if metrics share answers or reference models.
        """
        return intact, ablated, setting

    def metrics(self, setting: Any) -> Mapping[str, Any]:
        """The metrics of all methods under a `study.experiment.Metric`, by the methods' names, the objective first.

        Training measures two more if an experiment adds them here: `labelled`, the number of samples that carried a
        label of a term, and `loss.<term>`, the loss of a term that acts in validation.
        """
        bases = reversed(type(self).__mro__)
        found = {name: value.metric for base in bases for name, value in vars(base).items() if hasattr(value, "metric")}
        if not found:
            raise InputError(f"experiment {self.name}: found no metric, expected a method under @Metric(...)")
        return found

    def measure(self, intact: Edited, ablated: Edited, setting: Any) -> Mapping[str, Tensor]:
        """Measure one replica; the arguments are those of `observe`.

        Returns:
            Scalars, by the names of metrics.
        """
        observed = self.observe(intact, ablated, setting)
        return {name: getattr(self, name)(*observed) for name in Authored.metrics(self, setting)}

    def loss(self, output: Tensor, target: Tensor, setting: Any) -> Tensor:
        """The task's loss of each sample, by default the mean squared error.

        Args:
            output: the model's outputs, [B, ...].
            target: the targets, [B, ...].
            setting: the setting.

        Returns:
            The losses, [B].
        """
        return (output - target).square().reshape(len(output), -1).mean(1)

    def validation(self, setting: Any) -> Data | None:
        """Data that training does not see, for terms that act in validation."""
        return None

    def target(self, setting: Any) -> Target | None:
        """Examples of the concept, for erasure and probes, which are fitted to them."""
        return None

    def references(self, setting: Any) -> Sequence[Path]:
        """Files of fixed settings to compare with."""
        return ()

    def check(self, setting: Any) -> None:  # noqa: B027  # optional
        """Check that the tables that the experiment adds to its settings fit together.

        Raises:
            ValueError: they do not. The message starts with the offending key.
        """

    def example(self, setting: Any) -> Tensor:
        """Two inputs. The layers' widths are found by running the model on them."""
        return self.data(setting).inputs[:2]

    def model(self, setting: Any, seeds: Sequence[int]) -> Replicas:
        """Make untrained replicas.

        Args:
            setting: their setting.
            seeds: one for each replica.
        """
        return Replicas(partial(self.build, setting), seeds)

    def edits(self, setting: Any) -> Callable[[nn.Module], Edits]:
        """A setting's ablation: a function from one replica to the edits of its activations."""
        return partial(setting.ablation.edits, target=self.target(setting))

    def ablated(self, model: Replicas, setting: Any) -> Callable[[Tensor], Tensor]:
        """The replicas, ablated as a setting says: a function from inputs [N, ...] to outputs [R, N, ...]."""
        return model.edited(self.edits(setting))

    def measured(
        self, model: Replicas, setting: Any, edits: Callable[[nn.Module], Edits] | None = None
    ) -> dict[str, Tensor]:
        """Measure every replica.

        Args:
            model: the replicas.
            setting: their setting.
            edits: an ablation to use instead of the setting's.

        Returns:
            Each metric, [R].

        Raises:
            InputError: a metric is measured but not declared, declared but not measured, or not a number.
        """
        edits = edits or self.edits(setting)

        def both(one: nn.Module) -> dict[str, Tensor]:
            metrics = self.measure(Edited(one, UNEDITED), Edited(one, edits(one)), setting)
            self._expect_declared(metrics, setting)
            return dict(metrics)

        with torch.no_grad():
            return {name: metric.float() for name, metric in model.map(both).items()}

    def _expect_declared(self, metrics: Mapping[str, Any], setting: Any) -> None:
        declared, where = self.metrics(setting), f"experiment {self.name}: metric"
        for name, metric in metrics.items():
            if name not in declared:
                raise InputError(f"{where} {name}: measured but not declared, expected one of {', '.join(declared)}")
            if not isinstance(metric, Tensor | SupportsFloat):
                raise InputError(f"{where} {name}: found {metric!r}, expected a number")
            if isinstance(metric, Tensor) and metric.dim():
                raise InputError(f"{where} {name}: found a tensor {list(metric.shape)}, expected a single number")
        for name, metric in declared.items():
            counted = metric.examined or name == "labelled" or name.startswith("loss.")  # elsewhere
            if name not in metrics and not counted:
                raise InputError(f"{where} {name}: declared but not measured, expected a number")
