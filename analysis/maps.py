"""The map of a space: where its constraints are kept, by models fitted to trials, and how far settings may move."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import KFold, cross_val_predict

from analysis.effects import space_filling, unit
from analysis.importance import inside, signed_log
from study import StudyFolder
from study.record.trial_state import TrialState

NEAR_BEST = "near the best"
"""The requirement that a setting's objective is within a band of the best one's."""

ENOUGH = 20  # the fewest complete trials that a map is drawn from
MOST = 300  # the most trials that models are fitted to: their cost grows with the cube
FEW = 5  # the fewest trials whose other parameters a panel takes
AVERAGED = 40  # trials over whose other parameters a panel is averaged


@dataclass(frozen=True)
class Map:
    """Requirements of a space, each with a model of how far inside its bound a setting is.

    Attributes:
        trials: the complete trials, by number.
        inside: for each requirement, a column: how far inside each trial is; 0 or more if it is kept.
        points: the trials' places in the unit cube, [trials, parameters].
        distributions: the parameters.
        models: for each requirement, a Gaussian process on `asinh(inside / scale)`, which keeps the sign.
        r2: for each requirement, the share of that variance which is explained in trials left out (five-fold).
        band: what seeds alone make of the difference of two trials' objectives.
    """

    trials: pd.DataFrame
    inside: pd.DataFrame
    points: np.ndarray
    distributions: Mapping[str, BaseDistribution]
    models: Mapping[str, GaussianProcessRegressor]
    r2: Mapping[str, float]
    band: float

    def probabilities(self, points: np.ndarray) -> pd.DataFrame:
        """The probability that a setting at each point [N, parameters] of the unit cube keeps each requirement."""
        columns = {}
        for name, model in self.models.items():
            mean, sd = model.predict(points, return_std=True)
            columns[name] = stats.norm.cdf(mean / np.maximum(sd, 1e-9))
        return pd.DataFrame(columns)

    def expected(self, points: np.ndarray) -> pd.DataFrame:
        """Whether each requirement is expected to be kept at each point: above 0, if it is."""
        return pd.DataFrame({name: model.predict(points) for name, model in self.models.items()})


def fit(folder: StudyFolder, band: float) -> Map | None:
    """The map of a study's complete trials. None if there are too few of them, or too few parameters.

    Args:
        folder: the study.
        band: what seeds alone make of the difference of two trials' objectives. NaN, which one seed gives, counts as 0.
    """
    trials = folder.trials()
    distributions = folder.space.distributions
    if "value" not in trials:
        return None
    trials = trials[trials.state == TrialState.COMPLETE].set_index("trial", drop=False)
    if len(trials) < ENOUGH or len(distributions) < 2:
        return None
    band = 0.0 if np.isnan(band) else band
    kept = inside(folder, trials).assign(**{NEAR_BEST: _near_best(folder, trials, band)})
    points = np.stack([unit(trials[f"param.{name}"], d) for name, d in distributions.items()], axis=1)
    chosen = space_filling(points, MOST)
    models, r2 = {}, {}
    for name, values in kept.items():
        y = signed_log(values).to_numpy()[chosen]
        if np.ptp(y) > 0:
            models[str(name)], r2[str(name)] = _fitted(points[chosen], y)
    return Map(trials, kept, points, distributions, models, r2, band)


def _near_best(folder: StudyFolder, trials: pd.DataFrame, band: float) -> pd.Series:
    """How far trials are above what is within a band of the best one that keeps the constraints."""
    score = folder.goal.sign * trials["value"]
    feasible = score[trials.feasible]
    best = feasible.max() if len(feasible) else score.max()
    return score - (best - band)


def _fitted(x: np.ndarray, y: np.ndarray) -> tuple[GaussianProcessRegressor, float]:
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * RBF(np.full(x.shape[1], 0.5), (0.05, 50.0)) + WhiteKernel(
        0.1, (1e-4, 2.0)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a parameter that does not matter has an endless length
        model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(x, y)
    fixed = GaussianProcessRegressor(model.kernel_, optimizer=None, normalize_y=True)
    unseen = cross_val_predict(fixed, x, y, cv=KFold(5, shuffle=True, random_state=0))
    return model, 1 - float(((y - unseen) ** 2).sum() / ((y - y.mean()) ** 2).sum())


def panel(known: Map, pair: tuple[str, str], cells: int = 24) -> tuple[np.ndarray, np.ndarray]:
    """The probability that all requirements are kept, over two parameters, and where trials say anything about it.

    The other parameters are as in the trials that keep all requirements, averaged over up to 40 of them; if fewer than
    five do, as in trials that fill the space.

    Returns:
        Probabilities and booleans, [cells of the second, cells of the first]. A choice has a cell. A cell is covered if
        a trial lies within about the distance that evenly spread trials have from each other.
    """
    names = list(known.distributions)
    columns = [names.index(name) for name in pair]
    sizes = [len(getattr(known.distributions[name], "choices", range(cells))) for name in pair]
    middles = [
        np.linspace(0, 1, size) if hasattr(known.distributions[name], "choices") else (np.arange(size) + 0.5) / size
        for name, size in zip(pair, sizes, strict=True)
    ]
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*middles)], axis=1)
    kept = known.points[(fails(known) == "").to_numpy()]
    others = kept if len(kept) >= FEW else known.points
    rest = others[space_filling(others, AVERAGED)]
    at = np.repeat(rest[None], len(grid), axis=0)
    at[:, :, columns] = grid[:, None, :]
    joint = known.probabilities(at.reshape(-1, len(names))).prod(axis=1).to_numpy()
    trials = known.points[:, columns]
    nearest = np.sqrt(((grid[:, None, :] - trials[None]) ** 2).sum(2)).min(1)
    covered = nearest < max(1.0 / np.sqrt(len(trials)), 1.0 / cells)
    shape = sizes[1], sizes[0]
    return joint.reshape(len(grid), -1).mean(1).reshape(shape), covered.reshape(shape)


def fails(known: Map) -> pd.Series:
    """The requirement that each trial misses most, in units of its own scale; empty for trials that keep them all."""
    scaled = known.inside / known.inside.abs().median().replace(0, 1.0)
    return scaled.idxmin(axis=1).where(scaled.min(axis=1) < 0, "")


def middle(known: Map) -> int | None:
    """The trial in the middle of the region in which all requirements are kept: the one nearest to all others there."""
    kept = np.flatnonzero(fails(known) == "")
    if not len(kept):
        return None
    inside = known.points[kept]
    distances = ((inside[:, None] - inside[None]) ** 2).sum(2).sum(1)
    return int(known.trials.index[kept[distances.argmin()]])


def freedom(known: Map, trial: int, steps: int = 101) -> pd.DataFrame:
    """How far each parameter of a trial may move by itself before a requirement is expected to break.

    Args:
        known: the map.
        trial: the number of a complete trial.
        steps: how finely the range is searched.

    Returns:
        A row for each numeric parameter: `at`, its place in its range, 0 to 1; `low` and `high`, the ends of the
        stretch around it in which all requirements are expected to be kept; and `below` and `above`, the requirement
        that ends it there, empty at the range's own end. If a requirement is expected to break at the trial itself, its
        stretch ends where that gets worse.
    """
    names = list(known.distributions)
    here = known.points[known.trials.index.get_loc(trial)]
    rows: dict[str, dict[str, Any]] = {}
    for column, name in enumerate(names):
        if isinstance(known.distributions[name], CategoricalDistribution):
            continue
        line = np.unique([*np.linspace(0, 1, steps), here[column]])
        points = np.repeat(here[None], len(line), axis=0)
        points[:, column] = line
        start = int(np.searchsorted(line, here[column]))
        expected = known.expected(points)
        expected -= np.minimum(expected.iloc[start], 0)  # a smooth model may miss a requirement that the trial keeps
        kept, worst = (expected >= 0).all(axis=1).to_numpy(), expected.idxmin(axis=1)
        low = high = start
        while low > 0 and kept[low] and kept[low - 1]:
            low -= 1
        while high < len(line) - 1 and kept[high] and kept[high + 1]:
            high += 1
        rows[name] = {
            "at": here[column],
            "low": line[low],
            "high": line[high],
            "below": worst[max(low - 1, 0)] if low > 0 else "",
            "above": worst[min(high + 1, len(line) - 1)] if high < len(line) - 1 else "",
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def with_doses(trials: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, BaseDistribution]]:
    """Trials whose doses and centroids stand as parameters, and the ranges that they span.

    Doses that are above 0 in all trials are taken in logarithms. What does not vary is left out.
    """
    columns: dict[str, pd.Series] = {}
    ranges: dict[str, BaseDistribution] = {}
    for column in [str(c) for c in trials if str(c).startswith(("dose.", "centroid."))]:
        values = trials[column]
        known = values.dropna()
        if len(known) < ENOUGH or known.nunique() < 2:
            continue
        low, high = float(known.min()), float(known.max())
        ranges[column] = FloatDistribution(low, high, log=column.startswith("dose.") and low > 0)
        columns[f"param.{column}"] = values.fillna(known.median())
    return trials.assign(**columns), ranges
