"""Settings: everything that fixes one training but the seed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from anchoring.ablation import Ablation
from anchoring.dopesheet import Dopesheet
from anchoring.errors import InputError
from anchoring.fields import Count, Table
from anchoring.labels import Label
from anchoring.terms import Regularizer
from excolor.colors import Cube, hsv_cube, rgb_cube
from excolor.concepts import Concept
from excolor.models import ModelConfig

Document = dict[str, Any]
"""A setting as plain data: the TOML's tables, with `schedule` as `{"file": name, "rows": cells}`."""

MOST_COLORS = 10_000_000  # of a cube


class DataConfig(Table):
    """Which cube is sampled: `hsv`, weighted against grays, or `rgb`, uniformly, and how many at a time.

    `size` is hues, saturations and values, 36 x 10 x 10, or the RGB cube's edge, 8.
    """

    cube: Literal["hsv", "rgb"] = "hsv"
    size: tuple[Count, ...] = ()
    batch: Annotated[Count, Field(le=1_000_000)] = 64

    @model_validator(mode="after")
    def _size_is_the_cubes(self) -> DataConfig:
        if len(self.size) not in (0, 3 if self.cube == "hsv" else 1):
            raise ValueError(f"size: found {list(self.size)}, expected [hues, saturations, values], or [edge] of rgb")
        colors = math.prod(self.size) if self.cube == "hsv" else math.prod(self.size) ** 3
        if colors > MOST_COLORS:
            raise ValueError(f"size: found {list(self.size)}, {colors:,} colours, expected at most {MOST_COLORS:,}")
        return self

    def make(self) -> Cube:
        return (hsv_cube if self.cube == "hsv" else rgb_cube)(*self.size)


class Setting(Table):
    """Everything that fixes one training but the seed."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    title: str = ""
    concept: Concept = "hue"
    schedule: Dopesheet
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    labels: dict[str, Label] = {}
    regularizers: dict[str, Regularizer] = {}
    ablation: Annotated[Ablation, Field(default_factory=Ablation)]

    @field_validator("schedule", mode="before")
    @classmethod
    def _parse_schedule(cls, schedule: Any) -> Dopesheet:
        return Dopesheet.parse(schedule["rows"], schedule["file"])

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Setting:
        widths = self.model.layers
        for table, names in (("labels", self.labels), ("regularizers", self.regularizers)):
            for name in names:
                if not re.fullmatch(r"\w[\w. -]{0,99}", name):
                    raise ValueError(f"{table}: found {name!r}, expected a name of letters, digits, '_', '-' and '.'")
        for name, term in self.regularizers.items():
            for layer in term.layers:
                _expect_one_of(widths, layer, f"regularizers.{name}.layers")
                _at(f"regularizers.{name}", term.check, widths[layer])
            for label in term.labels or {}:
                _expect_one_of(self.labels, label, f"regularizers.{name}.labels")
        _expect_one_of(widths, self.ablation.layer, "ablation.layer")
        _at("ablation", self.ablation.check, widths[self.ablation.layer])
        if self.ablation.kind == "leace" and self.concept != "hue":
            raise ValueError(f"ablation.kind: found 'leace', which erases hue, expected another of {self.concept}")
        columns = {column.name: column for column in self.schedule.properties}
        if "lr" not in columns:
            raise InputError(f"{self.schedule.file}: found no column lr, expected one (the learning rate)")
        for name, column in columns.items():
            if name not in ("lr", *self.regularizers):
                known = ", ".join(["lr", *self.regularizers])
                where = f"{self.schedule.file}: row 1, column {name}"
                raise InputError(f"{where}: found no such term, expected one of {known}")
            if min(column.values) < 0:
                raise InputError(f"{self.schedule.file}: column {name}: found {min(column.values)}, expected 0 or more")
        return self

    @property
    def trained(self) -> dict[str, Regularizer]:
        """The terms that act in training."""
        return {name: term for name, term in self.regularizers.items() if term.when != "validation"}

    def weights_in_training(self, table: Mapping[str, np.ndarray]) -> np.ndarray:
        """The weights [steps, terms] of the terms that act in training, by a schedule's table; 1 without a column."""
        weights = np.ones((len(table["lr"]), len(self.trained)))
        for i, name in enumerate(self.trained):
            weights[:, i] = table.get(name, 1.0)
        return weights


def validate(document: Document, file: str | Path = "setting") -> Setting:
    """The setting that a document describes. Raises InputError, naming file and key, if it describes none."""
    try:
        return Setting.model_validate(document)
    except ValidationError as error:
        raise InputError(f"{file}: {_first(error)}") from None


def _expect_one_of(known: Any, found: str, where: str) -> None:
    if found not in known:
        raise ValueError(f"{where}: found {found!r}, expected {'one of ' + ', '.join(known) if known else 'none'}")


def _at(where: str, check: Any, *arguments: Any) -> None:
    """Run a check whose complaint starts with a key, and put before it where that key is."""
    try:
        check(*arguments)
    except ValueError as error:
        raise ValueError(f"{where}.{error}") from None


def _first(error: ValidationError) -> str:
    """Pydantic's first complaint, in one line: where, what was found and what was expected."""
    errors = error.errors()  # of which a mistyped key explains a missing one
    details = next((details for details in errors if details["type"] == "extra_forbidden"), errors[0])
    # pydantic adds the chosen term to the path of a term's key; a person did not write it
    path = [str(part) for part in details["loc"]]
    if path[:1] == ["regularizers"] and len(path) > 2:
        del path[2]
    where = ".".join(path)
    context = details.get("ctx", {})
    match details["type"]:
        case "value_error":
            message = str(context["error"])
            return f"{where}.{message}" if where else message
        case "extra_forbidden":
            return f"{where}: unknown key, expected one of {', '.join(_keys_beside(details['loc']))}"
        case "missing":
            return f"{where}: found nothing, expected a value"
        case "union_tag_invalid":
            return f"{where}.term: found {context['tag']!r}, expected one of {context['expected_tags']}".replace(
                "'", ""
            )
        case "union_tag_not_found":
            return f"{where}.term: found nothing, expected the name of a term"
        case _:
            message = re.sub("^Input should (be )?", "", details["msg"]).replace("a valid tuple", "a list")
            if details["type"] == "too_short":
                message = f"at least {context['min_length']}"
            return f"{where}: found {details['input']!r}, expected {message}"


def _keys_beside(loc: tuple[int | str, ...]) -> list[str]:
    """The keys that a table may have, of which there is an unknown one at pydantic's path `loc`."""
    if loc[0] == "regularizers":
        table = next(term for term in get_args(get_args(Regularizer)[0]) if term.__name__ == loc[2])
    elif len(loc) > 1:
        table = {"model": ModelConfig, "data": DataConfig, "ablation": Ablation, "labels": Label}[str(loc[0])]
    else:
        table = Setting
    return list(table.model_fields)
