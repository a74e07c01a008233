"""What a study optimizes: its metrics, how each is aggregated over a trial's replicas, and the constraints."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from anchoring.errors import InputError
from study.experiment import Metric
from study.record.tables import STATISTICS
from study.search.constraints import Constraint
from study.search.plan import Aggregate, Plan

Columns = Mapping[str, np.ndarray] | pd.DataFrame
"""A table, or its columns by name."""


@dataclass(frozen=True)
class Goal:
    """Objectives and constraints of a study.

    Each objective aggregates one metric over a trial's replicas. A diverged replica counts as its `Metric.diverged`.

    Args:
        metrics: the metrics that the experiment declares, by name.
        objectives: the names of the metrics to optimize. By default the first metric. Schedulers stop trials by the
            first objective.
        aggregate: `mean`; `p10`, the 10th percentile, or `min`, the worst replica, both for settings to rely on; or
            `lcb`, the lower end of the mean's one-sided 95% confidence interval, mean - 1.645 sd / sqrt(replicas). If
            smaller values are better, these are the 90th percentile, the largest value and the upper end.
        constraints: bounds, such as "utility >= 0.99", as `study.search.constraints.Constraint` reads them. A trial
            that breaks one is no answer.
        margin: the margin that an answer keeps from every bound, in bands.
        references: rows of the settings that relative constraints refer to, with a column `seed`, by their names.

    Raises:
        InputError: if an objective or a constraint names no metric, or one that cannot be optimized.

    Examples:
        >>> goal = Goal({"utility": Metric("how well it works", diverged=0.0)}, constraints=("utility >= 0.5",))
        >>> replicas = pd.DataFrame({"utility": [0.9, 0.7, float("nan")], "diverged": [False, False, True]})
        >>> [round(value, 3) for value in goal.values(replicas)]
        [0.533]
        >>> goal.violations(replicas)["utility >= 0.5"] <= 0
        True
    """

    metrics: Mapping[str, Metric]
    objectives: tuple[str, ...] = ()
    aggregate: Aggregate = "mean"
    constraints: tuple[str, ...] = ()
    margin: float = 0.0
    references: Mapping[str, pd.DataFrame] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", tuple(self.objectives) or tuple(self.metrics)[:1])
        for name in self.objectives:
            self._check(name, "--objective")
        if self.first.diverged is None:
            found = f"{self.objectives[0]} first, a metric that leaves out diverged replicas"
            raise InputError(f"--objective: found {found}, expected another metric first")
        if len(set(self.objectives)) < len(self.objectives):
            raise InputError(f"--objective: found {', '.join(self.objectives)}, expected distinct metrics")
        for constraint in self.bounds:
            self._check(constraint.metric, "--constraint")

    @classmethod
    def of(cls, plan: Plan, metrics: Mapping[str, Metric]) -> Goal:
        """What a plan is after, among the metrics that an experiment declares. Raises InputError if they lack it."""
        return cls(metrics, plan.objectives, plan.aggregate, plan.constraints, plan.margin)

    @cached_property
    def bounds(self) -> list[Constraint]:
        """The constraints, as they were read."""
        return [Constraint.parse(text) for text in self.constraints]

    @property
    def compared_with(self) -> dict[str, str]:
        """The fixed settings that relative constraints refer to, by name: each as the user wrote it."""
        return {bound.beside: bound.reference for bound in self.bounds if bound.reference}

    def beside(self, rows: pd.DataFrame) -> Goal:
        """The goal with its references as they were measured on other seeds.

        Args:
            rows: rows with columns `setting`, `seed`, `diverged` and each metric, perhaps of other settings, too.
        """
        if not self.compared_with:
            return self
        known = {name: rows[rows.setting == name] for name in self.compared_with}
        return replace(self, references={name: part for name, part in known.items() if len(part)})

    @property
    def first(self) -> Metric:
        """The metric of the first objective."""
        return self.metrics[self.objectives[0]]

    @property
    def sign(self) -> int:
        """1 if more of the first objective is better, -1 if less is."""
        return 1 if self.first.higher_is_better else -1

    @property
    def directions(self) -> list[Literal["maximize", "minimize"]]:
        """Whether to maximize or minimize each objective, in Optuna's words."""
        return ["maximize" if self.metrics[name].higher_is_better else "minimize" for name in self.objectives]

    def values(self, replicas: Columns) -> list[float]:
        """Each objective's value at one rung.

        Args:
            replicas: the rows of a trial's replicas at that rung, with columns `diverged` and each metric.
        """
        chosen = {name: self.metrics[name] for name in self.objectives}
        return [
            _aggregate(_numbers(replicas, name, metric), self.aggregate, metric.higher_is_better)
            for name, metric in chosen.items()
        ]

    def scores(self, replicas: pd.DataFrame) -> pd.Series:
        """Each replica's first objective, its sign turned if less of it is better."""
        return self.sign * counted(replicas, self.objectives[0], self.first)

    def failed(self, replicas: pd.DataFrame) -> pd.Series:
        """Which replicas diverged, or are worse in the first objective than its `Metric.failure`."""
        failure = self.first.failure
        worse = failure is not None and self.sign * replicas[self.objectives[0]] < self.sign * failure
        return replicas["diverged"].astype(bool) | worse

    def score(self, replicas: pd.DataFrame) -> float:
        """The first objective's value, negated if smaller values are better. Schedulers compare trials by it."""
        return self.sign * self.values(replicas)[0]

    @property
    def answer(self) -> str:
        """The kind of trial that can be an answer, in words."""
        return "complete trial that keeps the constraints" if self.constraints else "complete trial"

    def better(self, value: float, than: float | None) -> bool:
        """Whether a value of the first objective is better than another one. Any value is better than None."""
        return than is None or self.sign * value > self.sign * than

    def violations(self, replicas: pd.DataFrame) -> dict[str, float]:
        """How far replicas are beyond each constraint's bound, or short of the margin from it, by constraint.

        Args:
            replicas: the rows of a trial's replicas, with columns `diverged` and each metric; relative constraints need
                the column `seed`, too.

        Returns:
            Numbers as Optuna expects them: 0 or less if the constraint is kept, infinity if nothing was measured.
        """
        broken = {}
        for bound in self.bounds:
            values = self._bounded(bound, replicas)
            wanted = self.margin * bound.band(values) if self.margin else 0.0
            broken[bound.text] = math.inf if math.isnan(wanted) else wanted - bound.distance(values)
        return broken

    def keeps(self, replicas: pd.DataFrame) -> bool:
        """Whether replicas keep every constraint, and the margin from it."""
        return all(broken <= 0 for broken in self.violations(replicas).values())

    def tightest(self, replicas: pd.DataFrame) -> tuple[str, float]:
        """The constraint that replicas keep least, by its margin, and that margin. Without constraints: "" and NaN."""
        margins = self.margins(replicas)
        binds = min(margins, key=lambda name: math.inf if math.isnan(margins[name]) else margins[name], default="")
        return binds, margins.get(binds, math.nan)

    def margins(self, replicas: pd.DataFrame) -> dict[str, float]:
        """How far replicas are inside each constraint's bound, in bands, by constraint; negative if it is broken.

        A band is what seeds alone make of the bounded statistic: two of its standard errors over these replicas. A
        single replica has none, and its margins are NaN.
        """
        return {bound.text: float(bound.margin(self._bounded(bound, replicas))) for bound in self.bounds}

    def bands(self, replicas: pd.DataFrame) -> dict[str, float]:
        """What seeds alone make of each constraint's statistic over so many replicas, in the metric's units."""
        return {bound.text: bound.band(self._bounded(bound, replicas)) for bound in self.bounds}

    def _bounded(self, bound: Constraint, replicas: pd.DataFrame) -> np.ndarray:
        """The numbers that a constraint bounds."""
        name, metric = bound.metric, self.metrics[bound.metric]
        if not bound.reference:
            return _numbers(replicas, name, metric)
        if (reference := self.references.get(bound.beside)) is None:
            return np.array([])
        return by_seed(replicas, name, metric).sub(by_seed(reference, name, metric)).dropna().to_numpy()

    def _check(self, name: str, where: str) -> None:
        usable = [known for known, metric in self.metrics.items() if not (metric.not_an_objective or metric.examined)]
        metric = self.metrics.get(name)
        if metric is None or metric.examined:
            found = f"{name!r}, which is measured only at confirmation" if metric else repr(name)
            raise InputError(f"{where}: found {found}, expected one of {', '.join(usable)}")
        if metric.not_an_objective:
            raise InputError(f"{where}: found {name} ({metric.not_an_objective}), expected one of {', '.join(usable)}")


def counted(replicas: pd.DataFrame, name: str, metric: Metric) -> pd.Series:
    """The values of a metric to aggregate. Diverged replicas count as `metric.diverged`; if that is None, they are left
    out.

    Args:
        replicas: rows of replicas, with columns `diverged` and each metric.
        name: the metric's name.
        metric: its declaration.

    Examples:
        >>> replicas = pd.DataFrame({"utility": [0.9, float("nan")], "diverged": [False, True]})
        >>> counted(replicas, "utility", Metric("how well it works", diverged=0.0)).tolist()
        [0.9, 0.0]
    """
    if metric.diverged is None:
        return replicas[name].dropna()
    return replicas[name].where(~replicas["diverged"].astype(bool), metric.diverged)


def by_seed(rows: pd.DataFrame, name: str, metric: Metric) -> pd.Series:
    """The values of `counted`, by seed.

    Examples:
        >>> rows = pd.DataFrame({"seed": [7, 8], "utility": [0.9, float("nan")], "diverged": [False, True]})
        >>> by_seed(rows, "utility", Metric("how well it works", diverged=0.0)).to_dict()
        {7: 0.9, 8: 0.0}
    """
    values = counted(rows, name, metric)
    return values.set_axis(rows.seed.loc[values.index])


def _numbers(replicas: Columns, name: str, metric: Metric) -> np.ndarray:
    """The values of `counted`, without an index. For a few replicas this takes a tenth of pandas' time."""
    values = np.asarray(replicas[name])
    if metric.diverged is None:
        return values[~np.isnan(values)]
    return np.where(np.asarray(replicas["diverged"], bool), metric.diverged, values)


def _aggregate(values: np.ndarray, aggregate: Aggregate, more_is_better: bool) -> float:
    sign = 1 if more_is_better else -1
    values = values[~np.isnan(values)] * sign
    if not len(values):
        return math.nan
    if aggregate == "lcb":
        sd = float(STATISTICS["sd"](values)) if len(values) > 1 else 0.0
        return (float(STATISTICS["mean"](values)) - 1.645 * sd / math.sqrt(len(values))) * sign
    return float(STATISTICS[aggregate](values)) * sign
