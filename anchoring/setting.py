"""Settings: everything that fixes one training except the seed, validated from plain data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from anchoring.ablation import ABLATIONS, Ablate, Ablation
from anchoring.dopesheet import Dopesheet
from anchoring.errors import first_problem
from anchoring.fields import Config, Count
from anchoring.labels import Label
from anchoring.terms import TERMS, Term


class Sampling(Config):
    """How the data are sampled. An experiment may add keys in a subclass.

    Attributes:
        batch: how many samples each step draws.
    """

    batch: Annotated[Count, Field(le=1_000_000)] = 64


def _terms(tables: Any, info: ValidationInfo) -> Any:
    known = {term.__name__: term for term in (info.context or {}).get("terms", TERMS)}
    if not isinstance(tables, Mapping):
        raise ValueError(f"found {tables!r}, expected a table of terms")  # noqa: TRY004  # pydantic's
    return {name: _chosen(known, "term", table, name) for name, table in tables.items()}


def _ablation(table: Any, info: ValidationInfo) -> Any:
    kinds = (info.context or {}).get("ablations", ABLATIONS)
    known = {kind.__name__.lower(): kind for kind in kinds}
    table = {"kind": "ablate", **table} if isinstance(table, Mapping) else table
    return _chosen(known, "kind", table, "")


class Setting(Config):
    """The tables that the settings of all experiments have. An experiment's subclass adds those of its model and data.

    Settings are made by an experiment's method `setting`, which knows the experiment's terms and kinds of ablation.

    Attributes:
        title: the question that it answers, or what it is.
        schedule: the dopesheet: how the learning rate and the terms' weights move over training.
        data: how the data are sampled.
        labels: the labels, by name.
        regularizers: the terms, by name. A column of the schedule with a term's name holds its weight.
        ablation: how the concept is taken away from the trained model.

    Examples:
        >>> rows = [["STEP", "lr"], ["0", "0.01"], ["99", ""]]
        >>> setting = Setting.model_validate({"schedule": {"file": "lr.csv", "rows": rows}})
        >>> len(setting.schedule), setting.ablation.kind
        (100, 'ablate')
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    title: str = ""
    schedule: Dopesheet
    data: SerializeAsAny[Sampling] = Sampling()
    labels: dict[str, Label] = {}
    regularizers: Annotated[dict[str, SerializeAsAny[Term]], BeforeValidator(_terms)] = {}
    ablation: Annotated[SerializeAsAny[Ablation], BeforeValidator(_ablation), Field(default_factory=Ablate)]

    @field_validator("schedule", mode="before")
    @classmethod
    def _parse_schedule(cls, schedule: Any) -> Dopesheet:
        if not isinstance(schedule, Mapping) or not schedule.keys() >= {"rows", "file"}:
            raise ValueError(f"found {schedule!r}, expected a dopesheet: a table of file and rows")
        return Dopesheet.parse(schedule["rows"], schedule["file"])

    @field_validator("labels", "regularizers")
    @classmethod
    def _names_are_names(cls, named: Any) -> Any:
        for name in named:
            if not re.fullmatch(r"\w[\w. -]{0,99}", name):
                raise ValueError(
                    f"found {name!r}, expected a name of at most 100 letters, digits, '_', '-', '.' and spaces"
                )
        return named

    @property
    def trained(self) -> dict[str, Term]:
        """The terms that act in training."""
        return {name: term for name, term in self.regularizers.items() if term.when != "validation"}

    def weights_in_training(self, table: Mapping[str, np.ndarray]) -> np.ndarray:
        """The weights [steps, terms] of the terms that act in training. Terms without a column weigh 1.

        Args:
            table: a schedule's values [steps], by column.
        """
        weights = np.ones((len(table["lr"]), len(self.trained)))
        for i, name in enumerate(self.trained):
            weights[:, i] = table.get(name, 1.0)
        return weights


def expect_one_of(known: Any, found: str, where: str) -> None:
    """Raise ValueError, which starts with `where`, unless `found` is one of `known`."""
    if found not in known:
        expected = f"expected one of {', '.join(known)}" if known else "but there are none to choose from"
        raise ValueError(f"{where}: found {found!r}, {expected}")


def _chosen(known: Mapping[str, type[Config]], key: str, table: Any, where: str) -> Config:
    """A table, validated by the class that its `key` names. Raises ValueError, which starts with `where`."""
    if isinstance(table, Config):
        return table
    prefix = f"{where}." if where else ""
    if not isinstance(table, Mapping):
        raise ValueError(f"{where}{': ' if where else ''}found {table!r}, expected a table")  # noqa: TRY004
    name = table.get(key)
    if not isinstance(name, str) or name not in known:
        found = "nothing" if name is None else repr(name)
        raise ValueError(f"{prefix}{key}: found {found}, expected one of {', '.join(known)}")
    try:
        return known[name].model_validate(table, context={"chosen_by": [key]})
    except ValidationError as error:
        raise ValueError(f"{prefix}{first_problem(error)}") from None
