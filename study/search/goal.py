"""What a study is after: which metrics, over the replicas of a trial how, and within which limits."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from anchoring.errors import InputError
from study.experiment import Metric

Aggregate = Literal["mean", "p10", "min", "lcb"]


@dataclass(frozen=True)
class Goal:
    """Objectives, each the `aggregate` of one metric over a trial's replicas. A diverged replica counts as declared.

    - `mean`: of all replicas.
    - `p10`, `min`: the 10th percentile and the worst of them, for settings that can be relied on.
    - `lcb`: the lower end of the mean's one-sided 95% confidence interval, mean - 1.645 sd / sqrt(replicas).

    Of a metric of which less is better, "worst" and "lower" are its largest values. `constraints`, as in
    "utility >= 0.99", are on the means; a trial that breaks one is not an answer. The first objective is what early
    stopping goes by.
    """

    metrics: Mapping[str, Metric]  # that the experiment declares
    objectives: tuple[str, ...] = ()  # by default the first of them
    aggregate: Aggregate = "mean"
    constraints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "objectives", tuple(self.objectives) or tuple(self.metrics)[:1])
        for name in self.objectives:
            self._check(name, "--objective")
        if self.first.diverged is None:
            found = f"{self.objectives[0]} first, in which diverged replicas do not count"
            raise InputError(f"--objective: found {found}, expected another before it")
        if len(set(self.objectives)) < len(self.objectives):
            raise InputError(f"--objective: found {', '.join(self.objectives)}, expected different ones")
        for text in self.constraints:
            self._check(_parse(text)[0], "--constraint")

    @property
    def first(self) -> Metric:
        """The first objective's metric."""
        return self.metrics[self.objectives[0]]

    @property
    def directions(self) -> list[Literal["maximize", "minimize"]]:
        """Optuna's words for whether more of each objective is better."""
        return ["maximize" if self.metrics[name].higher_is_better else "minimize" for name in self.objectives]

    def values(self, replicas: pd.DataFrame) -> list[float]:
        """Each objective's value, of replicas' rows at one rung."""
        chosen = {name: self.metrics[name] for name in self.objectives}
        return [
            _aggregate(counted(replicas, name, metric), self.aggregate, metric.higher_is_better)
            for name, metric in chosen.items()
        ]

    def score(self, replicas: pd.DataFrame) -> float:
        """The first objective's value, with its sign turned if less of it is better."""
        value = self.values(replicas)[0]
        return value if self.first.higher_is_better else -value

    @property
    def answer(self) -> str:
        """What is looked for, in words."""
        return "complete trial that keeps the constraints" if self.constraints else "complete trial"

    def better(self, value: float, than: float | None) -> bool:
        """Whether a value of the first objective is better than another, or than none."""
        return than is None or (value > than if self.first.higher_is_better else value < than)

    def violations(self, replicas: pd.DataFrame) -> dict[str, float]:
        """By how much each constraint is broken; 0 or less if it is kept, infinite if there is nothing to keep it."""
        broken = {}
        for text in self.constraints:
            name, at_least, limit = _parse(text)
            mean = float(counted(replicas, name, self.metrics[name]).mean())
            violation = limit - mean if at_least else mean - limit
            broken[text] = math.inf if math.isnan(violation) else violation
        return broken

    def _check(self, name: str, where: str) -> None:
        usable = [known for known, metric in self.metrics.items() if not (metric.not_an_objective or metric.examined)]
        metric = self.metrics.get(name)
        if metric is None or metric.examined:
            found = f"{name!r}, which is measured at confirmation alone" if metric else repr(name)
            raise InputError(f"{where}: found {found}, expected one of {', '.join(usable)}")
        if metric.not_an_objective:
            raise InputError(f"{where}: found {name} ({metric.not_an_objective}), expected one of {', '.join(usable)}")


def counted(replicas: pd.DataFrame, name: str, metric: Metric) -> pd.Series:
    """A metric of replicas as it counts: diverged ones as `metric.diverged` says, None leaving them out."""
    if metric.diverged is None:
        return replicas[name].dropna()
    return replicas[name].where(~replicas["diverged"], metric.diverged)


def _aggregate(values: pd.Series, aggregate: Aggregate, more_is_better: bool) -> float:
    sign = 1 if more_is_better else -1
    values = values * sign

    match aggregate:
        case "mean":
            result = float(values.mean())
        case "p10":
            result = float(values.quantile(0.1))
        case "min":
            result = float(values.min())
        case "lcb":
            sd = float(values.std()) if len(values) > 1 else 0.0
            result = float(values.mean()) - 1.645 * sd / math.sqrt(len(values))
    return float(result) * sign


def _parse(text: str) -> tuple[str, bool, float]:
    match = re.fullmatch(r"\s*(\w[\w. @-]*?)\s*(>=|<=)\s*(-?\d+(?:\.\d*)?|-?\.\d+)\s*", text)
    if not match:
        raise InputError(f"--constraint: found {text!r}, expected a metric, >= or <=, and a number: 'utility >= 0.99'")
    return match[1], match[2] == ">=", float(match[3])
