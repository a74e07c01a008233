"""What the objective and each constraint depend on: importances in all and in feasible trials, and at each rung."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import pandas as pd

from analysis.effects import Distributions, explained, foreseen
from analysis.words import listed, score_of
from study import StudyFolder
from study.record.trial_state import TrialState

ENOUGH = 20  # the fewest trials that an importance is taken from
MOST = 300  # the most: more are drawn at random, since the cost grows with the square of their number
TREES = 16  # of each importance: the cost grows with their number, and there is a column for each rung

KNOWN = 0.1  # the least share of the variance that a forest must explain

ABOUT = ["of", "step", "trials", "r2"]
"""The columns of `importances` that are not parameters."""


def importances(folder: StudyFolder) -> pd.DataFrame:
    """Each parameter's share of what all parameters explain by themselves (fANOVA), of several values.

    The values are the objective and how far trials are inside each constraint's bound, in complete trials; the
    objective in those that keep all constraints; and the rank by the mean objective at each rung, in the trials that
    reached it. Schedulers stop trials by their ranks, and a few that fail there do not hide what the others depend on.

    Returns:
        A row for each value, with a column for each parameter, by its name. They are NaN if fewer than 20 trials have
        the value, or if a random forest explains less than a tenth of its variance in trials that it has not seen.

        - `of`: what it is; a constraint as it was written.
        - `step`: the rung's; NaN without one.
        - `trials`: how many it rests on; 300 drawn at random if there are more.
        - `r2`: the share of the value's variance that the forest explains in trials that it has not seen.
    """
    trials, distributions, score = folder.trials(), folder.space.distributions, score_of(folder)
    if "value" not in trials or not distributions:
        return pd.DataFrame(columns=ABOUT)
    complete = trials[trials.state == TrialState.COMPLETE].assign(value=lambda t: folder.goal.sign * t["value"])
    values = {score: _some(complete)}
    if folder.goal.constraints:
        values[f"{score}, feasible trials"] = _some(complete[complete.feasible.astype(bool)])
        for name, distance in inside(folder, values[score]).items():
            values[str(name)] = values[score].assign(value=signed_log(distance))
    rows = [_row(name, np.nan, table, distributions) for name, table in values.items()]
    for step, scores in _at_rungs(folder).items():
        at_rung = trials.assign(value=trials.trial.map(scores.rank(pct=True)))
        rows.append(_row(score, float(str(step)), _some(at_rung[at_rung["value"].notna()]), distributions))
    return pd.DataFrame(rows)


def inside(folder: StudyFolder, trials: pd.DataFrame) -> pd.DataFrame:
    """How far inside each constraint's bound trials are, in the units of its metric: a column for each constraint."""
    final = folder.final()
    parts = dict(list(final[final.trial.isin(trials.trial)].groupby("trial")))
    rows = [{name: -broken for name, broken in folder.goal.violations(parts[trial]).items()} for trial in trials.trial]
    return pd.DataFrame(rows, trials.index)


def signed_log(values: pd.Series) -> pd.Series:
    """Values on a scale that is linear up to their median size and logarithmic beyond, with their signs."""
    clipped = values.clip(-1e6, 1e6)
    scale = float(clipped.abs().median())
    return np.arcsinh(clipped / (scale if scale > 1e-12 else 1.0))


def _some(trials: pd.DataFrame) -> pd.DataFrame:
    return trials.sample(min(len(trials), MOST), random_state=0).sort_index()


def _at_rungs(folder: StudyFolder) -> pd.DataFrame:
    """The mean objective of each trial, a row, at each rung, a column; NaN where it was stopped before."""
    rows = folder.replicas()
    rows = rows.assign(score=folder.goal.scores(rows))
    return rows.pivot_table(index="trial", columns="step", values="score").sort_index(axis=1)


def _row(of: str, step: float, trials: pd.DataFrame, distributions: Distributions) -> dict[Any, Any]:
    row: dict[Any, Any] = {"of": of, "step": step, "trials": len(trials), "r2": np.nan}
    if len(trials) >= ENOUGH:
        row["r2"] = foreseen(trials, distributions)
        if row["r2"] >= KNOWN:
            return row | explained(trials, distributions, TREES).to_dict()
    return row | dict.fromkeys(distributions, np.nan)


def left_out(found: pd.DataFrame) -> str:
    """What has no importances, and why, in Markdown; empty if nothing was left out."""
    unknown = found[found[_parameters(found)].isna().all(axis=1)]
    few = unknown.trials < ENOUGH
    reasons = {
        f"fewer than {ENOUGH} trials tell": unknown[few],
        f"a forest explains less than {KNOWN:.0%} of the variance in trials that it has not seen": unknown[~few],
    }
    texts = [
        f"Left out: {listed(_named(rows), most=8)}, because {reason}." for reason, rows in reasons.items() if len(rows)
    ]
    return html.escape(" ".join(texts), quote=False)


def _named(rows: pd.DataFrame) -> list[str]:
    at = ["" if np.isnan(step) else f" at step {step:,.0f}" for step in rows.step]
    return [f"*{name}*{when}" for name, when in zip(rows.of, at, strict=True)]


def _parameters(found: pd.DataFrame) -> list[str]:
    return [str(column) for column in found if column not in ABOUT]


def mattering(found: pd.DataFrame, least: float = 0.05) -> list[str]:
    """The parameters that have at least this share of a value, the one with the largest first."""
    largest = found[_parameters(found)].max()
    return largest[largest >= least].sort_values(ascending=False).index.tolist()
