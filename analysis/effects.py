"""Which settings matter: which parameters, how far each may go for free, and which must be set together.

`trials` is a study's trials.parquet, and `value` the column that holds a trial's value, more of which is better. A
stopped or diverged trial counts with the value at the last rung that it reached, which may be less than it would have
come to; a failed one has none and is left out.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import BaseImportanceEvaluator, FanovaImportanceEvaluator, PedAnovaImportanceEvaluator
from sklearn.ensemble import RandomForestRegressor

from study.record.trial_state import TrialState

ENOUGH = 10  # trials, to say anything
_MOST = 100  # trials over which a forest is averaged, since that takes the square of their number of predictions
_SHARED = 400  # trials that importances are of, at most, since fANOVA takes the square of their number, too

Distributions = Mapping[str, BaseDistribution]


def importances(trials: pd.DataFrame, distributions: Distributions, value: str = "value") -> pd.DataFrame:
    """Each parameter's share of what makes a trial good, by two measures, on two sets of trials; columns sum to 1.

    - fANOVA (Hutter, Hoos & Leyton-Brown 2014, ICML): the share of the variance over the whole space that is due to it
      alone, in a random forest. What makes a difference anywhere? Log ranges are taken in logarithms; Optuna by itself
      gives their last decade 90% of the weight.
    - PED-ANOVA (Watanabe, Bansal & Hutter 2023, arXiv 2304.10255): how much its values in the best tenth of the trials,
      or the best five, differ from those in all. What makes a setting one of the best? Rough, of so few.
    - "spread" is of the half of the trials, but ten at least, that fills the space best (`space_filling`). Samplers
      crowd around what they take for the best, which biases what is fitted to all of their trials (Moosbauer et al.
      2021, arXiv 2111.04820). Where "all" and "spread" differ, neither is certain.

    Of more than 400 trials, "all" is of 400 drawn at random and "spread" of the 400 that fill the space best. The most
    important first, by the mean of the two fANOVAs. NaN where so many trials are equally good that there is nothing to
    tell, and empty if there are fewer than ten trials or all are equally good.
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


def space_filling(points: np.ndarray, n: int, categorical: Sequence[bool] = ()) -> list[int]:
    """Which n of the points in the unit cube, (points, parameters), are far from each other; their indices.

    Greedy: first the one nearest to the centre, then always the one farthest from all before it. No n points could be
    more than twice as far apart (Gonzalez 1985, Theor. Comput. Sci. 38:293; of designs of experiments, Kennard & Stone
    1969, Technometrics 11:137). Different choices of a categorical parameter are as far apart as the ends of a range.
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
    """How far apart two good trials' means must be not to be a matter of seeds: 1.96 sqrt(2) sd / sqrt(replicas).

    sd is pooled over the better half of the complete trials, since seeds matter much more where training is about to
    fail. Two settings that are equally good differ by more in one case of twenty; in fewer if both were trained on the
    same seeds, as a study's trials are. NaN of one replica, which has no sd.
    """
    complete = trials[trials.state == TrialState.COMPLETE]
    better = complete[complete["value"] >= complete["value"].median()]
    return float(1.96 * np.sqrt(2 * (better[f"{metric}.sd"] ** 2).mean() / replicas))


def plateaus(trials: pd.DataFrame, distributions: Distributions, noise: float, value: str = "value") -> pd.DataFrame:
    """How far each parameter may go for free: what the complete trials span that lose less than `noise` to the best.

    A row per parameter, the narrowest first: `low` and `high`, or the `choices`; how many `trials`
    these are; the `share` of the range that they span, of its logarithms if it is searched so; and what as many
    complete trials drawn at random span, `by chance` (the mean of 500 draws). A share no smaller than that says nothing
    of the parameter, and a smaller one may be the sampler's doing, which closes in on all parameters at once. Empty if
    no trial is complete, the noise is unknown or there are no parameters.
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


def interactions(
    trials: pd.DataFrame, distributions: Distributions, top: int = 4, value: str = "value"
) -> pd.DataFrame:
    """Which of the `top` parameters must be set together: Friedman's H² of each pair, the largest `size` first.

    H² is the share of a pair's joint effect, in variance, that is not the sum of their two effects (Friedman & Popescu
    2008, Ann. Appl. Stat. 2:916, section 8.1; of x y in the unit square, 1/7); `size` is how large that part is, the
    standard deviation in the value's own units. Effects are a random forest's partial dependences, over 100 trials at
    most; the top parameters are those by which it explains most. A forest finds an H² of some hundredths where there
    is nothing. Empty if there are fewer than ten trials, all are equally good, or the forest predicts those that each
    of its trees did not see no better than their mean would.
    """
    forest, points = _forest(trials, distributions, value)
    if forest is None:
        return pd.DataFrame()
    names, columns = list(distributions), np.argsort(-forest.feature_importances_, kind="stable")[:top].tolist()
    alone = {column: _effect(forest, points, points, [column]) for column in columns}
    rows = []
    for first, second in combinations(columns, 2):
        joint = _effect(forest, points, points, [first, second])
        rest = joint - alone[first] - alone[second]
        rest, joint = rest - rest.mean(), joint - joint.mean()
        h2 = (rest**2).sum() / (joint**2).sum() if joint.any() else 0.0
        rows.append((names[first], names[second], h2, np.sqrt((rest**2).mean())))
    table = pd.DataFrame(rows, columns=["first", "second", "H²", "size"])
    return table.sort_values("size", ascending=False, kind="stable", ignore_index=True)


def surface(
    trials: pd.DataFrame, distributions: Distributions, pair: Sequence[str], value: str = "value", cells: int = 20
) -> pd.DataFrame:
    """The value that the forest of `interactions` expects over two parameters, averaged over the trials' others.

    A column per value of the first and a row per value of the second: the choices, or the middles of so many cells
    that are equally wide in `unit`. Empty if `interactions` is.
    """
    forest, points = _forest(trials, distributions, value)
    if forest is None:
        return pd.DataFrame()
    axes = [pd.Index(middles(distributions[name], cells), name=name) for name in pair]
    shares = [unit(axis.to_series(), distributions[name]) for axis, name in zip(axes, pair, strict=True)]
    at = np.zeros((len(axes[0]) * len(axes[1]), len(distributions)))
    columns = [list(distributions).index(name) for name in pair]
    at[:, columns] = np.stack([grid.ravel() for grid in np.meshgrid(*shares)], axis=1)
    means = _effect(forest, points, at, columns)
    return pd.DataFrame(means.reshape(len(axes[1]), len(axes[0])), axes[1], axes[0])


def unit(values: pd.Series, distribution: BaseDistribution) -> np.ndarray:
    """Where in its range a parameter's values are, 0 to 1: by logarithms if it is searched so, choices in turn."""
    if isinstance(distribution, CategoricalDistribution):
        places = {choice: place for place, choice in enumerate(distribution.choices)}
        return values.map(places).to_numpy(float) / max(len(places) - 1, 1)
    scale, low, high = _scale(distribution)
    return (scale(values.to_numpy(float)) - low) / (high - low)


def middles(distribution: BaseDistribution, cells: int) -> list[Any]:
    """The middles of so many cells that are equally wide in `unit`, or all choices."""
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    scale, low, high = _scale(distribution)
    middles = np.linspace(low, high, 2 * cells + 1)[1::2]
    return (np.exp(middles) if scale is np.log else middles).tolist()


def _scale(distribution: Any) -> tuple[Any, float, float]:
    """The function of a number that is searched evenly, and what it makes of the ends of the range."""
    scale = np.log if getattr(distribution, "log", False) else np.asarray
    return scale, float(scale(distribution.low)), float(scale(distribution.high))


def _cube(trials: pd.DataFrame, distributions: Distributions) -> np.ndarray:
    return np.stack([unit(trials[f"param.{name}"], d) for name, d in distributions.items()], axis=1)


def _categorical(distributions: Distributions) -> list[bool]:
    return [isinstance(distribution, CategoricalDistribution) for distribution in distributions.values()]


def _counted(trials: pd.DataFrame, value: str) -> pd.DataFrame:
    """The trials that have a value; none if they are too few or all equally good."""
    counted = trials[(trials.state != TrialState.FAILED) & trials[value].notna()]
    return counted if len(counted) >= ENOUGH and counted[value].nunique() > 1 else counted.head(0)


def _shares(
    trials: pd.DataFrame, distributions: Distributions, value: str, evaluator: BaseImportanceEvaluator
) -> pd.Series:
    """Optuna's importances, of the trials in the unit cube; none if it cannot tell any."""
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
    """The share of a range, or of its choices if it has any, that places along the last axis span."""
    if not choices:
        return np.ptp(places, axis=-1)
    return (1 + (np.diff(np.sort(places)) > 0).sum(-1)) / choices


def _forest(
    trials: pd.DataFrame, distributions: Distributions, value: str
) -> tuple[RandomForestRegressor | None, np.ndarray]:
    """A forest fitted to the trials, if it knows anything, and the points that it is averaged over."""
    counted = _counted(trials, value)
    if counted.empty:
        return None, np.zeros((0, len(distributions)))
    points = _cube(counted, distributions)
    forest = RandomForestRegressor(200, oob_score=True, random_state=0).fit(points, counted[value])
    some = points[space_filling(points, _MOST, _categorical(distributions))]
    return (forest if forest.oob_score_ > 0 else None), some


def _effect(forest: RandomForestRegressor, points: np.ndarray, at: np.ndarray, columns: list[int]) -> np.ndarray:
    """Partial dependence: the forest's mean prediction over the points with `columns` as in each row of `at`."""
    moved = np.repeat(points[None], len(at), axis=0)
    moved[:, :, columns] = at[:, None, columns]
    return forest.predict(moved.reshape(-1, points.shape[1])).reshape(len(at), -1).mean(1)
