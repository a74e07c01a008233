"""Constraints: what an answer must keep besides being good, and how far from its bound it stays."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anchoring.errors import InputError

_TEXT = re.compile(
    r"\s*(?:(?P<statistic>mean|p10|every|relative)\s+)?(?P<metric>\w[\w. @-]*?)\s*(?P<side>>=|<=)\s*"
    r"(?P<bound>-?\d+(?:\.\d*)?|-?\.\d+)(?:\s+of\s+(?P<reference>\S+))?\s*"
)

_FORMS = "'utility >= 0.99', 'p10 utility >= 0.99', 'every utility >= 0.99' or 'relative utility >= -0.01 of REFERENCE'"

_P10 = 1.709
"""The standard error of a normal sample's 10th percentile, in units of sd / sqrt(n): 0.3 / the density there."""


@dataclass(frozen=True)
class Constraint:
    """A bound on a statistic of one metric over a trial's replicas.

    Args:
        text: how the user wrote it.
        metric: the metric's name.
        statistic: `mean`; `p10`, the 10th percentile of a metric that must be large and the 90th of one that must be
            small; `every`, the worst replica; or `relative`, the mean difference from a reference, seed by seed.
        at_least: True for >=, False for <=.
        bound: the number.
        reference: the fixed setting, of `relative` alone, that is trained on the same seeds: its file or its name.

    Examples:
        >>> constraint = Constraint.parse("every utility >= 0.9")
        >>> constraint.distance(np.array([0.95, 0.92, 0.99]))
        0.02
        >>> round(constraint.margin(np.array([0.95, 0.92, 0.99])), 2)
        0.28
    """

    text: str
    metric: str
    statistic: str
    at_least: bool
    bound: float
    reference: str = ""

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """The constraint that a text says. Raises InputError if it says none."""
        match = _TEXT.fullmatch(text)
        if not match:
            raise InputError(f"--constraint: found {text!r}, expected a metric, >= or <=, and a number: {_FORMS}")
        statistic, reference = match["statistic"] or "mean", match["reference"] or ""
        if (statistic == "relative") != bool(reference):
            raise InputError(f"--constraint: found {text!r}, expected 'relative' and 'of REFERENCE' together: {_FORMS}")
        return cls(text, match["metric"], statistic, match["side"] == ">=", float(match["bound"]), reference)

    @property
    def beside(self) -> str:
        """The reference's name."""
        return Path(self.reference).stem

    def distance(self, values: np.ndarray) -> float:
        """How far the statistic is inside its bound; negative if the constraint is broken, -inf if there are no values.

        Args:
            values: the metric of each replica, [R]; for `relative`, its difference from the reference's, seed by seed.
        """
        if not len(values):
            return -math.inf
        inside = (values - self.bound) * (1 if self.at_least else -1)
        return round(float(_STATISTICS[self.statistic](inside)), 12)

    def band(self, values: np.ndarray) -> float:
        """What seeds alone make of the statistic: two of its standard errors. NaN if there is a single value."""
        if len(values) < 2:
            return math.nan
        errors = {"every": 1.0, "p10": _P10 / math.sqrt(len(values))}
        return 2 * float(values.std(ddof=1)) * errors.get(self.statistic, 1 / math.sqrt(len(values)))

    def margin(self, values: np.ndarray) -> float:
        """The distance in units of the band. NaN if there is a single value."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.float64(self.distance(values)) / self.band(values))


_STATISTICS: dict[str, Callable[[np.ndarray], Any]] = {
    "mean": np.mean,
    "relative": np.mean,
    "every": np.min,
    "p10": lambda inside: np.quantile(inside, 0.1),
}
