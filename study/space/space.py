"""Search spaces: settings in which some values are ranges. A space without ranges is a fixed setting."""

from __future__ import annotations

import warnings
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
from study.surroundings import expanded

MOST = 1_000  # ranges and choices in a space


@dataclass(frozen=True)
class Slot:
    """A place in a document that a parameter fills.

    Args:
        parameter: its name.
        sign: "+" or "-" in the STEP of a relative row.
        factor: what its value is multiplied by.
        times: the name of another parameter that it is multiplied by, or "".
    """

    parameter: str
    sign: str = ""
    factor: float = 1.0
    times: str = ""

    def fill(self, values: Mapping[str, Value]) -> Value:
        value = values[self.parameter]
        if self.factor != 1 or self.times:
            value = cast(float, value) * self.factor * (cast(float, values[self.times]) if self.times else 1.0)
        if not self.sign:
            return value
        return self.sign + (np.format_float_positional(value) if isinstance(value, float) else str(value))


@dataclass(frozen=True)
class Space:
    """A setting in which some values are ranges. `study.read` makes it.

    Args:
        file: the TOML file.
        template: the file's document, with a slot in place of each range.
        distributions: the distribution of each parameter, by name. Empty for a fixed setting.
        source: where the space's experiment comes from.
        steps: the number of steps that the schedule is rescaled to. None keeps its own.

    Examples:
        >>> space = read("search_spaces/deletion.toml")
        >>> space.distributions["labels.vibrant.scale"]
        FloatDistribution(high=0.5, log=True, low=0.004, step=None)
        >>> lowest = next(space.corners())
        >>> space.setting(lowest).labels["vibrant"].scale
        0.004
    """

    file: Path
    template: Document
    distributions: dict[str, BaseDistribution]
    source: Source
    steps: int | None = None

    @classmethod
    def read(cls, path: str | Path, steps: int | None = None, experiment: str | Path | Source | None = None) -> Space:
        """Read a space's TOML and CSV, and `check` it if the experiment can be loaded.

        Args:
            path: the TOML file, or the name of a space in `search_spaces/` or of one that comes with an experiment.
            steps: the number of optimizer steps to rescale the schedule to. None keeps its own.
            experiment: the file that defines the space's experiment, if that is not installed. It is executed.

        Raises:
            InputError: if the files do not describe a space, there is no such experiment, or one of the settings in
                `corners` is wrong. The message starts with the file and the key, or the row and column.
        """
        space = cls.parse(path, steps, experiment)
        if space.source.here:
            space.check()
        return space

    @classmethod
    def parse(cls, path: str | Path, steps: int | None = None, experiment: str | Path | Source | None = None) -> Space:
        """Read a space as `read` does, except that no setting is checked: an installed experiment is not imported."""
        path = located(expanded(path))
        document = read_document(path)
        schedule = document["schedule"]
        name = document.get("experiment")
        if name is not None and not (isinstance(name, str) and name):
            raise InputError(f"{path}: experiment: found {name!r}, expected the name of an experiment")
        given = registry.from_file(experiment) if isinstance(experiment, str | Path) else experiment
        try:
            source = registry.find(name, given)
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        distributions: dict[str, BaseDistribution] = {}
        texts = [*_toml_texts(document, path), *_cell_texts(schedule)]
        for text in texts:  # all ranges before all references, which may stand above the range that they name
            text.define(distributions)
            if len(distributions) > MOST:
                break
        if sum(len(getattr(d, "choices", "1")) for d in distributions.values()) > MOST:
            raise InputError(f"{path}: found more than {MOST:,} ranges and choices, expected at most {MOST:,}")
        for text in texts:
            text.refer(distributions)
        return cls(path, document, distributions, source, steps)

    def check(self) -> None:
        """Raise InputError if a setting in `corners` is not valid, or the experiment is not available."""
        for values in self.corners():
            self.setting(values)

    @property
    def experiment(self) -> Experiment:
        """The space's experiment. Raises InputError if it is not available.

        Every process loads it by itself: a pickled space holds only its `source`.
        """
        try:
            return self.source.load()
        except InputError as error:
            raise InputError(f"{self.file}: {error}") from None

    def document(self, values: Mapping[str, Value] = MappingProxyType({})) -> Document:
        """The document at a point of the space, as plain data.

        Args:
            values: a value for each of `distributions`, by name.
        """
        filled = _map(self.template, lambda leaf: leaf.fill(values) if isinstance(leaf, Slot) else leaf)
        schedule = filled["schedule"]
        schedule["rows"] = [[str(cell) for cell in row] for row in schedule["rows"]]
        if self.steps is not None:
            schedule["rows"] = rescale(schedule["rows"], self.steps, schedule["file"])
        return filled

    def setting(self, values: Mapping[str, Value] = MappingProxyType({})) -> Any:
        """The setting at a point of the space.

        Args:
            values: a value for each of `distributions`, by name. A fixed setting needs none.

        Raises:
            InputError: if the setting there is not valid, or the experiment is not available.
        """
        return self.validate(self.document(values))

    def validate(self, document: Document) -> Any:
        """The setting that a document describes: one of this space, which the caller may have changed.

        Raises:
            InputError: if the setting is not valid, or the experiment is not available.
        """
        experiment = self.experiment
        own = {key: value for key, value in document.items() if key != "experiment"}
        with self.source.located(str(self.file)):
            return experiment.setting(own, self.file)

    def metrics(self) -> dict[str, Metric]:
        """The metrics that the experiment declares for the first of `corners`.

        Raises:
            InputError: if it declares none, or not properly, or if it is not available.
        """
        experiment, setting = self.experiment, self.setting(next(self.corners()))
        with self.source.located(str(self.file)):
            return metrics_of(experiment, setting)

    def corners(self) -> Iterator[dict[str, Value]]:
        """Points to check: all lower ends, all upper ends, 10 at random, and every choice."""
        shares = np.random.default_rng(0).random((10, len(self.distributions)))
        for point in ([0.0] * len(self.distributions), [1.0] * len(self.distributions), *shares.tolist()):
            yield {name: at(d, share) for (name, d), share in zip(self.distributions.items(), point, strict=True)}
            if not self.distributions:
                return
        low = {name: at(d, 0) for name, d in self.distributions.items()}
        for name, distribution in self.distributions.items():
            if isinstance(distribution, CategoricalDistribution):
                yield from ({**low, name: cast(Value, option)} for option in distribution.choices[1:-1])


def read(path: str | Path, steps: int | None = None, experiment: str | Path | None = None) -> Space:
    """Read a search space, or a fixed setting, which is a space without ranges.

    Args:
        path: the TOML file, or the name of a space in `search_spaces/` or of one that comes with an experiment.
        steps: the number of optimizer steps to rescale the schedule to. None keeps its own.
        experiment: the file that defines the space's experiment, if that is not installed. It is executed.

    Returns:
        The space: its document, its ranges, and the settings that they make.

    Raises:
        InputError: if the files do not describe a space, the experiment is not available, or a setting at the ends of
            the ranges is wrong. The message starts with the file and the key, or the row and column.

    Examples:
        >>> setting = read("search_spaces/subspace-ablation.toml").setting()
        >>> len(setting.schedule)
        2001
    """
    return Space.read(path, steps, registry.given(experiment))


@dataclass(frozen=True)
class _Text:
    """A string in a document that may be a range, or the name of one."""

    text: str
    where: str
    default_name: str
    node: Any  # the table, list or row that holds the text, at `key`
    key: Any
    sign: str = ""

    def define(self, distributions: dict[str, BaseDistribution]) -> None:
        """If the text is a range, add it to the distributions and put a slot in its place."""
        text, times = ranges.product(self.text) or (self.text, "")
        parsed = ranges.parse(text, self.where)
        if not parsed:
            return
        name, distribution = parsed
        if name is None:
            name, count = self.default_name, 1
            while name in distributions:
                name, count = f"{self.default_name}#{count + 1}", count + 1
        elif distributions.get(name, distribution) != distribution:
            raise InputError(
                f"{self.where}: found a second range named {name!r}, expected {name!r} alone, which means the first"
            )
        distributions[name] = distribution
        self.node[self.key] = Slot(name, self.sign, times=times)

    def refer(self, distributions: dict[str, BaseDistribution]) -> None:
        """If the text is the name of a range, or a multiple of one, put a slot in its place."""
        if self.text in distributions:
            self.node[self.key] = Slot(self.text, self.sign)
        elif found := ranges.product(self.text):
            first, times = found
            slot = self.node[self.key]
            if not isinstance(slot, Slot) and (number := ranges.number(first)) is not None:
                slot = self.node[self.key] = Slot(times, self.sign, float(number))
            elif not isinstance(slot, Slot) and first in distributions:
                slot = self.node[self.key] = Slot(first, self.sign, times=times)
            if isinstance(slot, Slot):
                self._expect_numbers(slot, distributions)

    def _expect_numbers(self, slot: Slot, distributions: dict[str, BaseDistribution]) -> None:
        """Raise InputError unless a slot multiplies parameters that are numbers."""
        for name in filter(None, (slot.parameter, slot.times)):
            if isinstance(distributions.get(name), CategoricalDistribution) or name not in distributions:
                found = f"{self.where}: found {self.text!r}"
                raise InputError(f"{found}, expected the name of a range of numbers in place of {name!r}")


def concept_of(space: Space) -> Any:
    """The concept that a space's settings isolate, if they name it."""
    return getattr(space.setting(next(space.corners())), "concept", None)


def expect_concept(space: Space, concept: Any, where: str, then: str = "") -> None:
    """Raise InputError unless a fixed setting has a study's concept. `then` says what to do about it."""
    if (found := concept_of(space)) != concept:
        raise InputError(f"{where}: found the concept {found}, expected the study's, {concept}{then}")


def located(path: Path) -> Path:
    """The file of a space: the path itself or, if that is a bare name, the file of the space with this name.

    An old name of a fixed setting is answered by the file that it has now, with a warning.
    """
    bare = not path.suffix and len(path.parts) == 1
    if path.exists() or not (bare or path.suffix == ".toml"):
        return path
    folders = [Path("search_spaces"), *registry.shipped()] if bare else [path.parent]

    def found(name: str) -> Path | None:
        return next((file for folder in folders if (file := folder / f"{name}.toml").is_file()), None)

    if file := found(path.stem):
        return file
    now = registry.renamed().get(path.stem)
    if now and (file := found(now)):
        warnings.warn(f"{path}: is called {now} now; 0.5 will not know {path.stem}", FutureWarning, 4)
        return file
    return path


def _toml_texts(document: Document, file: Path) -> Iterator[_Text]:
    def walk(node: Any, path: tuple[str, ...]) -> Iterator[_Text]:
        for key, child in list(node.items() if isinstance(node, dict) else enumerate(node)):
            here = (*path, str(key))
            if isinstance(child, str):
                # tables show regularizers.separate.power as separate.power
                name = ".".join(here[1:] if here[0] == "regularizers" else here)
                yield _Text(child, f"{file}: {'.'.join(here)}", name, node, key)
            elif isinstance(child, dict | list):
                yield from walk(child, here)

    yield from walk({k: v for k, v in document.items() if k not in ("title", "experiment", "concept", "schedule")}, ())


def _cell_texts(schedule: dict[str, Any]) -> Iterator[_Text]:
    """The cells that may be ranges. Their names are like `lr@10`, `separate@1000+0.5` or, if the STEP has a name,
    `separate@rise`. Malformed rows are left to the dopesheet, whose error says more."""
    header, *rows = schedule["rows"] or [[]]
    if "STEP" not in header:
        return
    step_column = header.index("STEP")
    before = ""
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            continue
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


def at(distribution: BaseDistribution, share: float) -> Value:
    """The value of a range at a share of its width in [0, 1]: 0 is the lower end, 1 the upper."""
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        return cast(Value, choices[min(int(share * len(choices)), len(choices) - 1)])
    if isinstance(distribution, IntDistribution):
        return min(distribution.low + int(share * (distribution.high - distribution.low + 1)), distribution.high)
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
