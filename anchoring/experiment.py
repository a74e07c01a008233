"""The base of experiments that are built on this method: what an author writes, and what every such experiment gets."""

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
from anchoring.native import compiler
from anchoring.replicas import Replicas, initialised
from anchoring.setting import expect_one_of


class AnchoredExperiment(Authored):
    """A model, data and measures. Everything is written for one replica, and trained as many at once.

    An author gives a name, the class of its settings, and the methods that are abstract; what else may be given has a
    default. `study.experiment` says what studies ask of an experiment.
    """

    def setting(self, document: Mapping[str, Any], file: str | Path = "setting") -> Any:
        """The setting that a document describes. Raises InputError, naming file and key, if it describes none."""
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

    def train(
        self,
        setting: Any,
        seeds: Sequence[int],
        *,
        rungs: int = 10,
        compiled: bool = False,
        on_rung: Callable[..., None] | None = None,
    ) -> Replicas:
        """Train one replica for each seed; see `anchoring.training.train`."""
        from anchoring.training import train  # Lightning takes seconds to import

        return train(self, setting, seeds, rungs=rungs, compiled=compiled, on_rung=on_rung)[0]

    def step_kinds(self, setting: Any) -> set[str]:
        """The kinds of step that a setting's training takes, each of which is compiled by itself."""
        from anchoring.kinds import step_kinds

        return step_kinds(setting)

    def cannot_compile(self) -> str:
        """Why steps cannot be compiled here, or nothing."""
        return "" if compiler() else "found no C++ compiler (g++, or what CXX names)"

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
                    f"regularizers.{name}.when: found {term.when!r}, expected 'training': no data to validate"
                )
            for label_name in term.labels or {}:
                expect_one_of(setting.labels, label_name, f"regularizers.{name}.labels")
        ablation = setting.ablation
        expect_one_of(layers, ablation.layer, "ablation.layer")
        concept = self.target(setting) is not None
        _at("ablation", partial(ablation.check, layers[ablation.layer], places, concept))
        file, columns = setting.schedule.file, {column.name: column for column in setting.schedule.properties}
        if "lr" not in columns:
            raise InputError(f"{file}: found no column lr, expected one (the learning rate)")
        for name, column in columns.items():
            if name not in ("lr", *setting.regularizers):
                known = ", ".join(["lr", *setting.regularizers])
                raise InputError(f"{file}: row 1, column {name}: found no such term, expected one of {known}")
            if min(column.values) < 0:
                raise InputError(f"{file}: column {name}: found {min(column.values)}, expected 0 or more")

    def _layers(self, setting: Any) -> tuple[dict[str, int], Mapping[str, Any]]:
        """The layers of a setting's model with their widths, and the weights around some of them.

        They are found without memory for weights, unless the model cannot be made so: a setting may ask for any size.
        """
        x = self.example(setting)
        try:
            with torch.device("meta"), torch.no_grad():
                model = self.build(setting).eval()
                return widths(model, x.to("meta")), around(model)
        except RuntimeError as error:  # NotImplementedError, too: an operator that has no meta kernel
            if "overflow" in str(error):
                raise ValueError(f"cannot be made: {reason(error)}") from None
            model = initialised(partial(self.build, setting), 0).eval()
            with torch.no_grad():
                return widths(model, x), around(model)

    def _expect_names(self) -> None:
        """Terms and kinds of ablation are found by the names of their classes: each needs one of its own."""
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
    """Run a check whose complaint starts with a key, and put before it where that key is."""
    try:
        check()
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from None
