"""Search spaces: settings in which some values are ranges. A space without ranges is a fixed setting."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from anchoring.dopesheet import RESERVED, rescale
from anchoring.errors import InputError
from study import registry
from study.experiment import Document, Experiment, Metric
from study.metrics import metrics_of
from study.registry import Source
from study.space import ranges
from study.space.document import read_document
from study.space.ranges import Value

MOST = 1_000  # ranges and choices of a space


@dataclass(frozen=True)
class Slot:
    """A place in a document that a parameter fills. `sign` is a STEP offset's."""

    parameter: str
    sign: str = ""

    def fill(self, values: Mapping[str, Value]) -> Value:
        value = values[self.parameter]
        if not self.sign:
            return value
        return self.sign + (np.format_float_positional(value) if isinstance(value, float) else str(value))


@dataclass(frozen=True)
class Space:
    """A document with slots, the distribution of each parameter that fills them, by name, and whose settings it has."""

    file: Path
    template: Document
    distributions: dict[str, BaseDistribution]
    source: Source
    steps: int | None = None  # to which its schedule is rescaled

    @classmethod
    def read(cls, path: str | Path, steps: int | None = None, experiment: str | Path | Source | None = None) -> Space:
        """Read a space's TOML and CSV.

        Args:
            path: the TOML file, or the name of a space in `search_spaces/` or of one that came with an experiment.
            steps: rescale its schedule to so many optimizer steps.
            experiment: a file that holds the space's experiment, if that is not installed. It is executed.

        Raises:
            InputError: naming file and key (or row and column), if the files do not describe a space, if there is no
                such experiment, or if a setting at the ends of the ranges is wrong. If `experiment` is a source that is
                not here, settings are not checked.
        """
        path = located(Path(path))
        document = read_document(path)
        schedule = document["schedule"]
        name = document.get("experiment")
        if name is not None and not (isinstance(name, str) and name):
            raise InputError(f"{path}: experiment: found {name!r}, expected an experiment's name")
        given = registry.from_file(experiment) if isinstance(experiment, str | Path) else experiment
        try:
            source = registry.find(name, given)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        distributions: dict[str, BaseDistribution] = {}
        texts = [*_toml_texts(document, path), *_cell_texts(schedule)]
        for text in texts:  # first the ranges, since a named one may be used above where it is defined
            text.define(distributions)
            if len(distributions) > MOST:
                break
        if sum(len(getattr(d, "choices", "1")) for d in distributions.values()) > MOST:
            raise InputError(f"{path}: found more than {MOST:,} ranges and choices, expected fewer (all are tried)")
        for text in texts:
            text.refer(distributions)
        space = cls(path, document, distributions, source, steps)
        for values in space.corners() if source.here else ():
            space.setting(values)
        return space

    @property
    def experiment(self) -> Experiment:
        """The experiment. Raises InputError if it is not here. It is loaded where it is needed, never pickled."""
        try:
            return self.source.load()
        except InputError as error:
            raise InputError(f"{self.file}: {error}") from None

    def document(self, values: Mapping[str, Value] = MappingProxyType({})) -> Document:
        """The document with every slot filled."""
        filled = _map(self.template, lambda leaf: leaf.fill(values) if isinstance(leaf, Slot) else leaf)
        schedule = filled["schedule"]
        schedule["rows"] = [[str(cell) for cell in row] for row in schedule["rows"]]
        if self.steps is not None:
            schedule["rows"] = rescale(schedule["rows"], self.steps, schedule["file"])
        return filled

    def setting(self, values: Mapping[str, Value] = MappingProxyType({})) -> Any:
        """The setting at a point of the space; of a fixed setting there is one.

        Raises InputError if the point is no valid setting, or the experiment is not here.
        """
        return self.validate(self.document(values))

    def validate(self, document: Document) -> Any:
        """The setting that a document of this space, perhaps changed, describes. Raises InputError if it is wrong."""
        experiment = self.experiment
        own = {key: value for key, value in document.items() if key != "experiment"}
        with self.source.located(str(self.file)):
            return experiment.setting(own, self.file)

    def metrics(self) -> dict[str, Metric]:
        """The metrics that the experiment declares at the space's first corner."""
        experiment, setting = self.experiment, self.setting(next(self.corners()))
        with self.source.located(str(self.file)):
            return metrics_of(experiment, setting)

    def corners(self) -> Iterator[dict[str, Value]]:
        """Points that show what a range could do wrong: both ends of all, every choice, and some in between."""
        shares = np.random.default_rng(0).random((10, len(self.distributions)))
        for point in ([0.0] * len(self.distributions), [1.0] * len(self.distributions), *shares.tolist()):
            yield {name: _within(d, share) for (name, d), share in zip(self.distributions.items(), point, strict=True)}
            if not self.distributions:
                return
        low = {name: _within(d, 0) for name, d in self.distributions.items()}
        for name, distribution in self.distributions.items():
            if isinstance(distribution, CategoricalDistribution):
                yield from ({**low, name: cast(Value, option)} for option in distribution.choices[1:-1])


def read(path: str | Path, steps: int | None = None, experiment: str | Path | None = None) -> Space:
    """Read a search space, or a fixed setting, which is a space without ranges: `read("mine.toml").setting()`.

    Args, Raises: as of `Space.read`.
    """
    return Space.read(path, steps, registry.given(experiment))


@dataclass(frozen=True)
class _Text:
    """A string somewhere in a document that may be a range, or the name of one."""

    text: str
    where: str
    default_name: str
    node: Any  # the table, list or row that holds it, at `key`
    key: Any
    sign: str = ""

    def define(self, distributions: dict[str, BaseDistribution]) -> None:
        """If it is a range, add it to the distributions and put a slot in its place."""
        parsed = ranges.parse(self.text, self.where)
        if not parsed:
            return
        name, distribution = parsed
        if name is None:
            name, count = self.default_name, 1
            while name in distributions:
                name, count = f"{self.default_name}#{count + 1}", count + 1
        elif distributions.get(name, distribution) != distribution:
            raise InputError(f"{self.where}: found a second range named {name!r}, expected just its name")
        distributions[name] = distribution
        self.node[self.key] = Slot(name, self.sign)

    def refer(self, distributions: dict[str, BaseDistribution]) -> None:
        """If it is the name of a range, put a slot in its place."""
        if self.text in distributions:
            self.node[self.key] = Slot(self.text, self.sign)


def located(path: Path) -> Path:
    """The file of a space: the path itself or, if that is only a name, where a space of this name is found."""
    if path.suffix or len(path.parts) != 1 or path.exists():
        return path
    folders = [Path("search_spaces"), *registry.shipped()]
    return next((file for folder in folders if (file := folder / f"{path}.toml").is_file()), path)


def _toml_texts(document: Document, file: Path) -> Iterator[_Text]:
    def walk(node: Any, path: tuple[str, ...]) -> Iterator[_Text]:
        for key, child in list(node.items() if isinstance(node, dict) else enumerate(node)):
            here = (*path, str(key))
            if isinstance(child, str):
                # regularizers.separate.power is separate.power in a table
                name = ".".join(here[1:] if here[0] == "regularizers" else here)
                yield _Text(child, f"{file}: {'.'.join(here)}", name, node, key)
            elif isinstance(child, dict | list):
                yield from walk(child, here)

    yield from walk({k: v for k, v in document.items() if k not in ("title", "experiment", "concept", "schedule")}, ())


def _cell_texts(schedule: dict[str, Any]) -> Iterator[_Text]:
    """The cells that may be ranges, named like `lr@10`, `separate@1000+0.5` or, in a named STEP, `separate@rise`."""
    header, *rows = schedule["rows"] or [[]]
    if "STEP" not in header:
        return  # the dopesheet says so
    step_column = header.index("STEP")
    before = ""
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            continue  # the dopesheet says so
        step = row[step_column].strip()
        sign = step[:1] if step[:1] in ("+", "-") else ""
        offset = step.removeprefix(sign).strip()
        where = f"{schedule['file']}: row {number}, column STEP"
        if parsed := ranges.parse(offset, where):
            name = parsed[0] or (f"step@{before}{sign}" if sign else f"step@row{number}")
            label = name.removeprefix("step@")
        else:
            name, label = offset, offset if not sign or not _is_number(offset) else f"{before}{step}"
        yield _Text(offset, where, name, row, step_column, sign)
        if not sign:
            before = "" if step == "0" else label
        for column, cell in enumerate(row):
            if header[column] not in RESERVED:
                name = header[column].partition(":")[0].strip()
                where = f"{schedule['file']}: row {number}, column {name}"
                yield _Text(cell.strip(), where, f"{name}@{label}", row, column)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _within(distribution: BaseDistribution, share: float) -> Value:
    """The value that lies at a share in [0, 1] of a range."""
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        return cast(Value, choices[min(int(share * len(choices)), len(choices) - 1)])
    if isinstance(distribution, IntDistribution):
        return round(distribution.low + share * (distribution.high - distribution.low))
    assert isinstance(distribution, FloatDistribution)
    if distribution.log:
        return min(distribution.low * (distribution.high / distribution.low) ** share, distribution.high)
    return distribution.low + share * (distribution.high - distribution.low)


def _map(node: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(node, dict):
        return {key: _map(child, change) for key, child in node.items()}
    if isinstance(node, list):
        return [_map(child, change) for child in node]
    return change(node)
