"""What parameters do: which matter, how far each may move without loss, and which must be set together.

`trials` is a study's trials.parquet. `value` is the column of a trial's value; more is better. A stopped or diverged
trial counts with its value at the last rung that it reached, which may be less than it would have become. A failed
trial has no value and is left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import BaseImportanceEvaluator, FanovaImportanceEvaluator, PedAnovaImportanceEvaluator
from sklearn.ensemble import RandomForestRegressor

from study.record.trial_state import TrialState

ENOUGH = 10  # the fewest trials that tell anything
_MOST = 100  # the most trials that a forest is averaged over: the cost grows with the square of their number
_SHARED = 400  # the most trials that importances are taken from: fANOVA's cost grows with the square, too

Distributions = Mapping[str, BaseDistribution]


def importances(trials: pd.DataFrame, distributions: Distributions, value: str = "value") -> pd.DataFrame:
    """Each parameter's share of what makes a trial good, by two measures, on two sets of trials.

    - fANOVA (Hutter, Hoos & Leyton-Brown 2014, ICML) asks what makes a difference anywhere. It is the share of the
      variance over the whole space that the parameter explains by itself, in a random forest. Log ranges are taken in
      logarithms. (Optuna by itself gives their last decade 90% of the weight.)
    - PED-ANOVA (Watanabe, Bansal & Hutter 2023, arXiv 2304.10255) asks what makes a setting one of the best. It is how
      much the parameter's values in the best tenth of the trials, or the best five, differ from those in all trials.
      It is rough, since these are few.
    - "all" are all trials, or 400 drawn at random.
    - "spread" is the half of the trials that fills the space best (`space_filling`), at least 10 and at most 400.
      Samplers crowd around what seems best, which biases a fit to all of their trials (Moosbauer et al. 2021, arXiv
      2111.04820). Where "all" and "spread" differ, neither is certain.

    Returns:
        A row per parameter, the most important by the mean of the two fANOVAs first. Columns sum to 1. A column is NaN
        if too many of its trials are equally good. The table is empty with fewer than ten trials, or if all are equally
        good.
    """
    counted = _counted(trials, value)
    if counted.empty:
        return pd.DataFrame()
    half = min(max(ENOUGH, len(counted) // 2), _SHARED)
    spread = space_filling(_cube(counted, distributions), half, _categorical(distributions))
    drawn = counted.sample(min(len(counted), _SHARED), random_state=0).sort_index()
    subsets = {"all": drawn, "spread": counted.iloc[spread]}
    table = pd.DataFrame(index=list(distributions))
    for name, subset in subsets.items():
        table[f"fANOVA, {name}"] = _shares(subset, distributions, value, FanovaImportanceEvaluator(seed=0))
    for name, subset in subsets.items():
        tenth = PedAnovaImportanceEvaluator(target_quantile=max(0.1, 5 / len(subset)))
        table[f"PED-ANOVA, {name}"] = _shares(subset, distributions, value, tenth)
    order = table[["fANOVA, all", "fANOVA, spread"]].mean(axis=1).sort_values(ascending=False, kind="stable")
    return table.loc[order.index]


def explained(trials: pd.DataFrame, distributions: Distributions, trees: int) -> pd.Series:
    """Each parameter's share of what all of them explain of `value` by themselves over the whole space (fANOVA).

    The shares sum to 1. They are empty if nothing is explained.
    """
    return _shares(trials, distributions, "value", FanovaImportanceEvaluator(n_trees=trees, seed=0))


def foreseen(trials: pd.DataFrame, distributions: Distributions) -> float:
    """The share of the variance of `value` that a random forest explains in trials that it has not seen.

    This is its out-of-bag R². It is NaN if all values are equal.
    """
    if trials["value"].nunique() < 2:
        return np.nan
    forest = RandomForestRegressor(64, oob_score=True, random_state=0)
    return float(forest.fit(_cube(trials, distributions), trials["value"].to_numpy()).oob_score_)


def space_filling(points: np.ndarray, n: int, categorical: Sequence[bool] = ()) -> list[int]:
    """The indices of n points that are far from each other, among points [points, parameters] in the unit cube.

    The choice is greedy: first the point nearest to the centre, then always the one farthest from all chosen ones. No n
    points could be more than twice as far apart (Gonzalez 1985, Theor. Comput. Sci. 38:293; for designs of experiments,
    Kennard & Stone 1969, Technometrics 11:137). Two choices of a categorical parameter are as far apart as the ends of
    a range.
    """
    mismatch = np.array(categorical or [False] * points.shape[1])
    taken = [int(((points - 0.5) ** 2).sum(1).argmin())]
    nearest = np.full(len(points), np.inf)
    while len(taken) < min(n, len(points)):
        difference = points - points[taken[-1]]
        nearest = np.minimum(nearest, np.where(mismatch, difference != 0, difference**2).sum(1))
        nearest[taken] = -1  # not again, even if all others are copies of them
        taken.append(int(nearest.argmax()))
    return taken


def noise(trials: pd.DataFrame, replicas: int, metric: str) -> float:
    """The difference of two good trials' means that seeds alone can make: 1.96 sqrt(2) sd / sqrt(replicas).

    sd is pooled over the better half of the complete trials, because seeds matter much more where training is about to
    fail. Two equally good settings differ by more in one case of twenty. On the same seeds, as in a study, they do so
    less often. With one replica there is no sd, and the noise is NaN.
    """
    complete = trials[trials.state == TrialState.COMPLETE]
    better = complete[complete["value"] >= complete["value"].median()]
    return float(1.96 * np.sqrt(2 * (better[f"{metric}.sd"] ** 2).mean() / replicas))


def plateaus(trials: pd.DataFrame, distributions: Distributions, noise: float, value: str = "value") -> pd.DataFrame:
    """How far each parameter may move without loss: what the trials span that lose less than `noise` to the best.

    Returns:
        A row per parameter, the narrowest plateau first. The table is empty if no trial is complete, the noise is NaN,
        or there are no parameters.

        - `low` and `high`, or the `choices`: what these trials span.
        - `trials`: how many they are.
        - `share`: their span as a share of the range, on the scale on which it is searched.
        - `by chance`: the share that as many complete trials drawn at random span (the mean of 500 draws). A `share` no
          smaller than that means nothing. A smaller one may be due to the sampler, which closes in on all parameters at
          once.
    """
    complete = trials[(trials.state == TrialState.COMPLETE) & trials[value].notna()].reset_index(drop=True)
    if complete.empty or np.isnan(noise) or not distributions:
        return pd.DataFrame()
    best = int(complete[value].argmax())
    good = sorted({best, *np.flatnonzero(complete[value] > complete[value][best] - noise).tolist()})
    random = np.random.default_rng(0)
    draws = np.stack([random.choice(len(complete), len(good), replace=False) for _ in range(500)])
    rows: dict[str, dict[str, Any]] = {}
    for name, distribution in distributions.items():
        column = complete[f"param.{name}"]
        places, choices = unit(column, distribution), getattr(distribution, "choices", ())
        rows[name] = {
            "low": np.nan if choices else column[good].min(),
            "high": np.nan if choices else column[good].max(),
            "choices": [choice for choice in choices if (column[good] == choice).any()],
            "trials": len(good),
            "share": _span(places[good], len(choices)).item(),
            "by chance": _span(places[draws], len(choices)).mean(),
        }
    return pd.DataFrame.from_dict(rows, orient="index").sort_values("share", kind="stable")


@dataclass(frozen=True)
class Forest:
    """A random forest that knows the value of a trial from its parameters.

    Args:
        distributions: the parameters.
        model: the forest. None if there are fewer than ten trials, if all are equally good, or if the forest predicts
            out-of-bag trials no better than their mean.
        points: at most 100 of the trials, over which effects are averaged.
    """

    distributions: Distributions
    model: RandomForestRegressor | None
    points: np.ndarray

    @classmethod
    def of(cls, trials: pd.DataFrame, distributions: Distributions, value: str = "value") -> Forest:
        """The forest fitted to all trials."""
        counted = _counted(trials, value)
        if counted.empty:
            return cls(distributions, None, np.zeros((0, len(distributions))))
        points = _cube(counted, distributions)
        model = RandomForestRegressor(200, oob_score=True, random_state=0).fit(points, counted[value])
        some = points[space_filling(points, _MOST, _categorical(distributions))]
        return cls(distributions, model if model.oob_score_ > 0 else None, some)

    def effect(self, at: np.ndarray, columns: list[int]) -> np.ndarray:
        """Partial dependence: for each row of `at`, the mean prediction over the points with its `columns`."""
        assert self.model is not None
        moved = np.repeat(self.points[None], len(at), axis=0)
        moved[:, :, columns] = at[:, None, columns]
        return self.model.predict(moved.reshape(-1, self.points.shape[1])).reshape(len(at), -1).mean(1)


def interactions(forest: Forest, top: int = 4) -> pd.DataFrame:
    """Which of the `top` parameters must be set together: Friedman's H² of each pair, the largest `size` first.

    Effects are the forest's partial dependences. The top parameters are those by which it explains most. A forest
    finds an H² of a few hundredths where there is no interaction.

    Returns:
        A row per pair, `first` and `second`. `H²` is the share of the pair's joint effect, in variance, that is not the
        sum of the two single effects (Friedman & Popescu 2008, Ann. Appl. Stat. 2:916, section 8.1; for x y in the unit
        square it is 1/7). `size` is that part's standard deviation, in units of the value. The table is empty if
        the forest has no model.
    """
    if forest.model is None:
        return pd.DataFrame()
    names, weights = list(forest.distributions), forest.model.feature_importances_
    columns = np.argsort(-weights, kind="stable")[:top].tolist()
    alone = {column: forest.effect(forest.points, [column]) for column in columns}
    rows = []
    for first, second in combinations(columns, 2):
        joint = forest.effect(forest.points, [first, second])
        rest = joint - alone[first] - alone[second]
        rest, joint = rest - rest.mean(), joint - joint.mean()
        h2 = (rest**2).sum() / (joint**2).sum() if joint.any() else 0.0
        rows.append((names[first], names[second], h2, np.sqrt((rest**2).mean())))
    table = pd.DataFrame(rows, columns=["first", "second", "H²", "size"])
    return table.sort_values("size", ascending=False, kind="stable", ignore_index=True)


def surface(forest: Forest, pair: Sequence[str], cells: int = 20) -> pd.DataFrame:
    """The value that a forest expects over two parameters, averaged over the others.

    Returns:
        A column per value of the first and a row per value of the second parameter: the choices, or the middles of
        `cells` cells (`middles`). It is empty if the forest has no model.
    """
    distributions = forest.distributions
    if forest.model is None:
        return pd.DataFrame()
    axes = [pd.Index(middles(distributions[name], cells), name=name) for name in pair]
    shares = [unit(axis.to_series(), distributions[name]) for axis, name in zip(axes, pair, strict=True)]
    at = np.zeros((len(axes[0]) * len(axes[1]), len(distributions)))
    columns = [list(distributions).index(name) for name in pair]
    at[:, columns] = np.stack([grid.ravel() for grid in np.meshgrid(*shares)], axis=1)
    means = forest.effect(at, columns)
    return pd.DataFrame(means.reshape(len(axes[1]), len(axes[0])), axes[1], axes[0])


def unit(values: pd.Series, distribution: BaseDistribution) -> np.ndarray:
    """The places of a parameter's values in its range, 0 to 1, on the scale of its search; choices in turn."""
    if isinstance(distribution, CategoricalDistribution):
        places = {choice: place for place, choice in enumerate(distribution.choices)}
        return values.map(places).to_numpy(float) / max(len(places) - 1, 1)
    scale, low, high = _scale(distribution)
    return (scale(values.to_numpy(float)) - low) / (high - low)


def middles(distribution: BaseDistribution, cells: int) -> list[Any]:
    """The middles of `cells` cells that are equally wide in `unit`, or all choices."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    scale, low, high = _scale(distribution)
    middles = np.linspace(low, high, 2 * cells + 1)[1::2]
    return (np.exp(middles) if scale is np.log else middles).tolist()


def _scale(distribution: Any) -> tuple[Any, float, float]:
    """The scale on which a parameter is searched, and the ends of its range on that scale."""
    scale = np.log if getattr(distribution, "log", False) else np.asarray
    return scale, float(scale(distribution.low)), float(scale(distribution.high))


def _cube(trials: pd.DataFrame, distributions: Distributions) -> np.ndarray:
    return np.stack([unit(trials[f"param.{name}"], d) for name, d in distributions.items()], axis=1)


def _categorical(distributions: Distributions) -> list[bool]:
    return [isinstance(distribution, CategoricalDistribution) for distribution in distributions.values()]


def _counted(trials: pd.DataFrame, value: str) -> pd.DataFrame:
    """The trials that have a value; no trials if these are too few or all equally good."""
    counted = trials[(trials.state != TrialState.FAILED) & trials[value].notna()]
    return counted if len(counted) >= ENOUGH and counted[value].nunique() > 1 else counted.head(0)


def _shares(
    trials: pd.DataFrame, distributions: Distributions, value: str, evaluator: BaseImportanceEvaluator
) -> pd.Series:
    """Optuna's importances, for trials in the unit cube; empty if it finds none."""
    if trials[value].nunique() < 2:
        return pd.Series(dtype=float)
    cube: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(unit(pd.Series(d.choices), d).tolist())
        if isinstance(d, CategoricalDistribution)
        else FloatDistribution(0, 1)
        for name, d in distributions.items()
    }
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize")
    for point, of_it in zip(_cube(trials, distributions).tolist(), trials[value].tolist(), strict=True):
        parameters = dict(zip(cube, point, strict=True))
        study.add_trial(optuna.create_trial(params=parameters, distributions=cube, value=of_it))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is experimental not to call all parameters equal if none matters
        found = pd.Series(optuna.importance.get_param_importances(study, evaluator=evaluator, normalize=False))
    return found / found.sum() if found.sum() else found.head(0)


def _span(places: np.ndarray, choices: int) -> np.ndarray:
    """The share of a range, or of its choices, that the places along the last axis span."""
    if not choices:
        return np.ptp(places, axis=-1)
    return (1 + (np.diff(np.sort(places)) > 0).sum(-1)) / choices
