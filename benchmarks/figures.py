"""Figures with their spread: how they are measured, and the table that shows them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

from rich.table import Table


@dataclass(frozen=True)
class Runs:
    """One figure from each of several runs. It prints as their median and, if they are several, least..most."""

    values: tuple[float, ...]
    form: str = ",.0f"
    unit: str = ""

    @property
    def median(self) -> float:
        return median(self.values)

    def __truediv__(self, other: Runs) -> Runs:
        """The ratios, run by run."""
        return Runs(tuple(a / b for a, b in zip(self.values, other.values, strict=True)), ".3g", "x")

    def __str__(self) -> str:
        middle, least, most = (format(f, self.form) for f in (self.median, min(self.values), max(self.values)))
        return f"{middle}{self.unit}" + (f" ({least}..{most})" if len(self.values) > 1 else "")


@dataclass(frozen=True)
class Target:
    """A target for a figure, and whether it is met."""

    text: str
    met: bool

    def __str__(self) -> str:
        return f"{self.text}: [green]met[/]" if self.met else f"{self.text}: [red]missed[/]"


@dataclass(frozen=True)
class Row:
    """A row of the table. `ratio` divides our figure by those that the row compares it with."""

    what: str
    ours: Runs | str = "-"
    baseline: Runs | str = "-"
    jax: Runs | str = "-"
    ratio: str = "-"
    targets: tuple[Target, ...] = ()


def once(what: str, figure: float, form: str, unit: str, target: Target) -> Row:
    """A row of a figure from a single run."""
    return Row(what, Runs((float(figure),), form, unit), targets=(target,))


def race(contenders: Mapping[str, Callable[[], float]], rounds: int = 5) -> dict[str, Runs]:
    """Each contender's figure in each round. They take turns, so that other load on the machine affects all alike."""
    figures = [{name: run() for name, run in contenders.items()} for _ in range(rounds)]
    return {name: Runs(tuple(figure[name] for figure in figures)) for name in contenders}


def seconds(act: Callable[[], object]) -> float:
    """How many seconds a call takes."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def at_least(run: Runs, least: float, text: str) -> Target:
    return Target(text, run.median >= least)


def less_than(run: Runs, most: float, text: str) -> Target:
    return Target(text, run.median < most)


def table(rows: list[Row]) -> Table:
    """The rows as a table to print."""
    title = "median (least..most) of the runs; one run where no spread is given"
    drawn = Table(title=title, title_justify="left", show_lines=True)
    drawn.add_column("what")
    for name in ("ours", "baseline", "JAX", "ratio"):
        drawn.add_column(name, justify="right")
    drawn.add_column("target")
    for row in rows:
        cells = row.what, row.ours, row.baseline, row.jax, row.ratio, "\n".join(map(str, row.targets))
        drawn.add_row(*map(str, cells))
    return drawn
