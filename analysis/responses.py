"""What one parameter does, averaged over the others: curves with bands, and what leaving a plateau costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.preprocessing import OneHotEncoder, SplineTransformer

from analysis.effects import middles, unit
from study.record.trial_state import TrialState

ENOUGH = 30  # the fewest trials that a curve is fitted to
RESAMPLES = 200


@dataclass(frozen=True)
class Responses:
    """An additive model of trials: the value is a sum of smooth functions of one parameter each.

    Attributes:
        curves: for each parameter, the expected value over its range (`mean`, with the 95% interval `low` to `high`),
            averaged over the trials' other parameters.
        costs: how much less is expected of trials outside a parameter's plateau than of those inside, with its interval
            and the number of `trials` outside. A row per parameter whose plateau leaves some trials outside.
        r2: the share of the variance that the model explains in trials that it was not fitted to (ten-fold
            cross-validation). NaN without a model. If it is not above 0, there are no curves and no costs.
    """

    curves: Mapping[str, pd.DataFrame]
    costs: pd.DataFrame
    r2: float


def responses(
    trials: pd.DataFrame, distributions: Mapping[str, BaseDistribution], plateaus: pd.DataFrame, value: str = "value"
) -> Responses:
    """Fit an additive model to trials.

    Each parameter's function is a cubic spline over its range, shrunk by ridge regression, or a level for each choice.
    Intervals are percentiles of 200 bootstrap resamples of the trials.

    Args:
        trials: each with its `value`; more is better. Failed trials are left out.
        distributions: the ranges of the parameters.
        plateaus: `effects.plateaus`.
        value: the column of the value.
    """
    nothing = Responses({}, pd.DataFrame(), np.nan)
    trials = trials[(trials.state != TrialState.FAILED) & trials[value].notna()]
    if len(trials) < ENOUGH or not distributions or trials[value].nunique() < 2:
        return nothing
    names, y = list(distributions), trials[value].to_numpy()
    bases = {name: _basis(distribution) for name, distribution in distributions.items()}
    parts = {name: bases[name](unit(trials[f"param.{name}"], distributions[name])) for name in names}
    x = np.concatenate(list(parts.values()), axis=1)
    alpha = RidgeCV(np.logspace(-3, 3, 13)).fit(x, y).alpha_
    unseen = cross_val_predict(Ridge(alpha), x, y, cv=KFold(10, shuffle=True, random_state=0))
    r2 = 1 - float(((y - unseen) ** 2).sum() / ((y - y.mean()) ** 2).sum())
    if r2 <= 0:
        return Responses({}, pd.DataFrame(), r2)

    random = np.random.default_rng(0)
    counts = [np.ones(len(y)), *random.multinomial(len(y), np.full(len(y), 1 / len(y)), RESAMPLES)]
    fits = [Ridge(alpha).fit(x, y, sample_weight=count) for count in counts]
    curves, costs, start = {}, {}, 0
    for name, distribution in distributions.items():
        columns = slice(start, start := start + parts[name].shape[1])
        weights = np.stack([fit.coef_[columns] for fit in fits], axis=1)  # a column per fit
        rest = np.stack([fit.intercept_ + x.mean(0) @ fit.coef_ for fit in fits]) - parts[name].mean(0) @ weights
        grid = _where_trials_are(name, trials[f"param.{name}"], distribution)
        curves[name] = _interval(bases[name](unit(grid.to_series(), distribution)) @ weights + rest, grid)
        if name in plateaus.index:
            inside = _inside(trials[f"param.{name}"], plateaus.loc[[name]].iloc[0])
            if inside.any() and not inside.all():
                effect = parts[name] @ weights
                lost = effect[inside].mean(0) - effect[~inside].mean(0)
                costs[name] = _interval(lost[None], [name]).iloc[0].to_dict() | {"trials": int((~inside).sum())}
    table = pd.DataFrame.from_dict(costs, orient="index")
    return Responses(curves, table.sort_values("mean", ascending=False) if len(table) else table, r2)


def _where_trials_are(name: str, values: pd.Series, distribution: BaseDistribution) -> pd.Index:
    """The choices, or the middles of those of 40 cells that lie between the lowest and the highest trial."""
    grid = pd.Index(middles(distribution, 40), name=name)
    return grid if hasattr(distribution, "choices") else grid[(grid >= values.min()) & (grid <= values.max())]


def _basis(distribution: BaseDistribution):  # type: ignore[no-untyped-def]
    """A function from places [N] in a range, 0 to 1, to the columns [N, columns] of a linear model."""
    if isinstance(distribution, CategoricalDistribution):
        levels = np.arange(len(distribution.choices))[:, None] / max(len(distribution.choices) - 1, 1)
        encoder = OneHotEncoder(sparse_output=False).fit(levels)
    else:
        encoder = SplineTransformer(5, degree=3, extrapolation="constant").fit(np.linspace(0, 1, 5)[:, None])
    return lambda places: encoder.transform(np.asarray(places)[:, None])


def _interval(samples: np.ndarray, index: Any) -> pd.DataFrame:
    """The mean, low and high of each row: its first column is the estimate, the others are its resamples."""
    low, high = np.quantile(samples[:, 1:], [0.025, 0.975], axis=1)
    return pd.DataFrame({"mean": samples[:, 0], "low": low, "high": high}, index=index)


def _inside(values: pd.Series, plateau: pd.Series) -> np.ndarray:
    if plateau["choices"]:
        return values.isin(plateau["choices"]).to_numpy()
    return values.between(plateau["low"], plateau["high"]).to_numpy()
