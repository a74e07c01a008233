"""The base class of experiments that are built on this method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from anchoring.ablation import around
from anchoring.authored import Authored
from anchoring.errors import InputError, first_problem, reason
from anchoring.layers import widths
from anchoring.native import cannot_build
from anchoring.replicas import Replicas, initialised
from anchoring.sampling import Apart
from anchoring.setting import expect_one_of

SMALL = 1_000_000  # parameters of a model that takes little time and memory to make


class AnchoredExperiment(Authored):
    """A model, data and metrics. All are written for one replica; many replicas are trained at once.

    A subclass needs a `name`, the methods `build` and `data`, and a method under `study.experiment.Metric` for each
    metric, the objective first. Everything else has a default.

    Examples:
        >>> from anchoring import AnchoredExperiment, Data
        >>> from study.experiment import Metric
        >>> class Halves(AnchoredExperiment):
        ...     '''An autoencoder of pairs of numbers, which should keep the first number in dimension 0.'''
        ...     name = "halves"
        ...     attributes = ("first",)
        ...
        ...     def build(self, setting):
        ...         model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        ...         model.around = {"0": ("0", "1")}
        ...         return model
        ...
        ...     def data(self, setting):
        ...         x = torch.cartesian_prod(torch.linspace(0, 1, 5), torch.linspace(0, 1, 5))
        ...         return Data(x, attributes={"first": x[:, 0]})
        ...
        ...     @Metric("error of the second number after ablation", 0, higher_is_better=False)
        ...     def collateral(self, intact, ablated, setting):
        ...         x = self.data(setting).inputs
        ...         return (ablated(x) - x)[:, 1].square().mean()
        >>> halves = Halves()
        >>> rows = [["STEP", "lr", "off"], ["0", "0.01", "1"], ["199", "", ""]]
        >>> setting = halves.setting({
        ...     "schedule": {"file": "halves.csv", "rows": rows},
        ...     "labels": {"first": {"of": "first"}},
        ...     "regularizers": {"off": {"term": "Subspace", "dims": [0], "layers": ["0"], "labels": {"first": 1.0}}},
        ...     "ablation": {"kind": "ablate", "layer": "0", "dims": [0]},
        ... })
        >>> replicas = halves.train(setting, seeds=[0, 1], rungs=1)
        >>> halves.measured(replicas, setting)["collateral"].shape
        torch.Size([2])
    """

    def setting(self, document: Mapping[str, Any], file: str | Path = "setting") -> Any:
        """Validate a setting.

        Args:
            document: the setting as plain data. Its `schedule` is a dopesheet's `file` and `rows` of cells.
            file: the name that messages start with.

        Returns:
            An instance of the experiment's `Setting`.

        Raises:
            InputError: the document is not a setting of this experiment. The message names file and key.
        """
        self._expect_names()
        context = {"terms": self.terms, "ablations": self.ablations}
        try:
            setting = self.Setting.model_validate(document, context=context)
        except ValidationError as error:
            raise InputError(f"{file}: {first_problem(error)}") from None
        try:
            self.check(setting)
            self._parts_fit_together(setting)
        except ValueError as error:
            raise InputError(f"{file}: {error}") from None
        return setting

    def apart(self, number: int, *, init: int, data: int, labels: int) -> int:
        """A seed with the initial weights of one seed, the samples of another, and the labels of a third.

        Args:
            number: what the replica is called in tables.
            init: the seed of its initial weights.
            data: the seed of its samples.
            labels: the seed of its labels.

        Returns:
            A seed for `train`. If all three are one seed, the replica is that seed's.
        """
        return Apart(number, init, data, labels)

    def train(
        self,
        setting: Any,
        seeds: Sequence[int],
        *,
        rungs: int = 10,
        compiled: bool = False,
        on_rung: Callable[..., None] | None = None,
    ) -> Replicas:
        """Train one replica for each seed.

        Args:
            setting: what is trained.
            seeds: one for each replica.
            rungs: how often the replicas are measured.
            compiled: whether steps are native code, which pays unless the training is short.
            on_rung: called with each `anchoring.training.Rung` and the replicas as they are then. If it raises,
                training ends.

        Returns:
            The trained replicas.
        """
        from anchoring.training import train  # Lightning takes seconds to import

        return train(self, setting, seeds, rungs=rungs, compiled=compiled, on_rung=on_rung)[0]

    def step_kinds(self, setting: Any) -> set[str]:
        """The kinds of step in a setting's training. Each is compiled separately."""
        from anchoring.kinds import step_kinds

        return step_kinds(setting)

    def cannot_compile(self) -> str:
        """Why steps cannot be compiled on this machine; an empty text if they can."""
        return cannot_build()

    def _parts_fit_together(self, setting: Any) -> None:
        try:
            layers, places = self._layers(setting)
        except ValueError as error:
            raise ValueError(f"model: {error}") from None
        for name, label in setting.labels.items():
            expect_one_of(self.attributes, label.of, f"labels.{name}.of")
        for name, term in setting.regularizers.items():
            for layer in term.layers:
                expect_one_of(layers, layer, f"regularizers.{name}.layers")
                _at(f"regularizers.{name}", partial(term.check, layers[layer]))
            if term.when != "training" and self.validation(setting) is None:
                raise ValueError(
                    f"regularizers.{name}.when: found {term.when!r}, expected 'training': there is no validation data"
                )
            for label_name in term.labels or {}:
                expect_one_of(setting.labels, label_name, f"regularizers.{name}.labels")
        ablation = setting.ablation
        concept = self.target(setting) is not None
        for layer in ablation.places:
            expect_one_of(
                layers, layer, "ablation.layer" if ablation.places == (ablation.layer,) else "ablation.layers"
            )
            _at("ablation", partial(ablation.check, layers[layer], places, concept))
        file, columns = setting.schedule.file, {column.name: column for column in setting.schedule.properties}
        if "lr" not in columns:
            raise InputError(f"{file}: found no column lr, expected one, for the learning rate")
        for name, column in columns.items():
            if name not in ("lr", *setting.regularizers):
                known = ", ".join(["lr", *setting.regularizers])
                raise InputError(f"{file}: row 1, column {name}: found no such term, expected one of {known}")
            if min(column.values) < 0:
                raise InputError(f"{file}: column {name}: found {min(column.values)}, expected 0 or more")

    def _layers(self, setting: Any) -> tuple[dict[str, int], Mapping[str, Any]]:
        """The widths of the layers of a setting's model, and the weights around some layers.

        The model is made without memory for its weights if it can be, since a setting may ask for any size. It runs
        so, too, only if it is large: PyTorch's kernels for that take seconds to import.
        """
        x = self.example(setting)
        try:
            with torch.device("meta"), torch.no_grad():
                model = self.build(setting).eval()
                if sum(weights.numel() for weights in model.parameters()) > SMALL:
                    return widths(model, x.to("meta")), around(model)
        except RuntimeError as error:  # also NotImplementedError, from an operator without a meta kernel
            if "overflow" in str(error):
                raise ValueError(f"cannot be made: {reason(error)}") from None
        model = initialised(partial(self.build, setting), 0).eval()
        with torch.no_grad():
            return widths(model, x), around(model)

    def _expect_names(self) -> None:
        """Raise InputError if two terms or two kinds of ablation have the same name, by which settings choose."""
        named = {
            "terms": [t.__name__ for t in self.terms],
            "kinds of ablation": [a.__name__.lower() for a in self.ablations],
        }
        for what, names in named.items():
            if twice := {name for name in names if names.count(name) > 1}:
                raise InputError(
                    f"experiment {self.name}: found two {what} named {min(twice)}, expected distinct names"
                )


def _at(where: str, check: Callable[[], None]) -> None:
    """Run a check, and put the table's name in front of the key that its error starts with."""
    try:
        check()
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from None
