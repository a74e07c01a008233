"""What a study is after: which metrics, over the replicas of a trial how, and within which limits."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from anchoring import InputError
from excolor.concepts import CONCEPTS, Concept, blindness_of

Aggregate = Literal["mean", "p10", "min", "lcb"]

_IDEALS = {  # whether more is better, and what a diverged replica counts as; nothing: it is left out
    "isolation": (True, 0.0),
    "utility": (True, 0.0),
    **{blindness_of(concept): (True, 0.0) for concept in CONCEPTS},
    "lightness_kept": (True, 0.0),
    "hue_residual": (False, 1.0),
    "gray_collateral": (False, 1.0),
    "labelled": (False, None),
}


@dataclass(frozen=True)
class Goal:
    """Objectives, each a metric's `aggregate` over a trial's replicas, of which a diverged one counts as a useless one.

    - `mean`: of all replicas.
    - `p10`, `min`: the 10th percentile and the worst of them, for settings that can be relied on.
    - `lcb`: the lower end of the mean's one-sided 95% confidence interval, mean - 1.645 sd / sqrt(replicas).

    Of a metric of which less is better, "worst" and "lower" are its largest values. `constraints`, as in
    "utility >= 0.99", are on the means; a trial that breaks one is not an answer. The first objective is what early
    stopping goes by.
    """

    objectives: tuple[str, ...] = ("isolation",)
    aggregate: Aggregate = "mean"
    constraints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.objectives:
            _check_metric(name, "--objective")
        if len(set(self.objectives)) < len(self.objectives):
            raise InputError(f"--objective: found {', '.join(self.objectives)}, expected different ones")
        for text in self.constraints:
            _parse(text)

    def check(self, concept: Concept) -> None:
        """Raise InputError if a study of the concept does not measure a metric that this names."""
        others = {blindness_of(other) for other in CONCEPTS if other != concept}
        others |= {"hue_residual"} if concept != "hue" else set()
        named = {"--objective": self.objectives, "--constraint": [_parse(text)[0] for text in self.constraints]}
        for where, names in named.items():
            for name in others.intersection(names):
                known = ", ".join(metric for metric in _IDEALS if metric not in others)
                raise InputError(f"{where}: found {name}, expected of a study of {concept} one of {known}")

    @property
    def directions(self) -> list[Literal["maximize", "minimize"]]:
        """Optuna's words for whether more of each objective is better."""
        return ["maximize" if _IDEALS[name][0] else "minimize" for name in self.objectives]

    def values(self, replicas: pd.DataFrame) -> list[float]:
        """Each objective's value, of replicas' rows at one rung."""
        return [_aggregate(counted(replicas, name), self.aggregate, _IDEALS[name][0]) for name in self.objectives]

    def score(self, replicas: pd.DataFrame) -> float:
        """The first objective's value, with its sign turned if less of it is better."""
        value = self.values(replicas)[0]
        return value if _IDEALS[self.objectives[0]][0] else -value

    @property
    def answer(self) -> str:
        """What is looked for, in words."""
        return "complete trial that keeps the constraints" if self.constraints else "complete trial"

    def better(self, value: float, than: float | None) -> bool:
        """Whether a value of the first objective is better than another, or than none."""
        return than is None or (value > than if _IDEALS[self.objectives[0]][0] else value < than)

    def violations(self, replicas: pd.DataFrame) -> dict[str, float]:
        """By how much each constraint is broken; 0 or less if it is kept, infinite if there is nothing to keep it."""
        broken = {}
        for text in self.constraints:
            name, at_least, limit = _parse(text)
            mean = float(counted(replicas, name).mean())
            violation = limit - mean if at_least else mean - limit
            broken[text] = math.inf if math.isnan(violation) else violation
        return broken


def counted(replicas: pd.DataFrame, metric: str) -> pd.Series:
    """A metric of replicas as it counts: of a diverged one that of a useless model; `labelled` leaves it out."""
    instead = _IDEALS[metric][1]
    return replicas[metric].dropna() if instead is None else replicas[metric].where(~replicas["diverged"], instead)


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


def _check_metric(name: str, where: str) -> None:
    if name == "vibrancy_r2":
        raise InputError(
            f"{where}: found vibrancy_r2, which rotating all hues scores 0.942 on, expected another metric"
        )
    if name not in _IDEALS:
        raise InputError(f"{where}: found {name!r}, expected one of {', '.join(_IDEALS)}")


def _parse(text: str) -> tuple[str, bool, float]:
    match = re.fullmatch(r"\s*(\w+)\s*(>=|<=)\s*(-?\d+(?:\.\d*)?|-?\.\d+)\s*", text)
    if not match:
        raise InputError(f"--constraint: found {text!r}, expected a metric, >= or <=, and a number: 'utility >= 0.99'")
    _check_metric(match[1], "--constraint")
    return match[1], match[2] == ">=", float(match[3])
