"""What to set, what it costs not to, and what is not known: computed from a study, in Markdown."""

from __future__ import annotations

import html
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.effects import unit
from analysis.responses import Responses
from analysis.words import listed, name_of, tied_with_best, trials_named
from study import StudyFolder
from study.record.trial_state import TrialState
from study.watch.live import format_value

_MATTERS = 0.05  # of the variance, or of what makes a trial one of the best
_EDGE = 0.03  # of a range


@dataclass(frozen=True)
class Choice:
    """What a reader is to take: a trial, what ties with it, and a fixed setting that is better than all trials, if one
    is."""

    trial: int
    ties: list[str]
    better: str = ""


def choose(folder: StudyFolder, ranked: pd.DataFrame | None) -> Choice:
    """The best confirmed trial (`study.evidence.ranking.ranking`) or, if none was confirmed, the search's favourite."""
    favourite = int(folder.best().trial.iloc[0])
    if ranked is None:
        return Choice(favourite, trials_named(tied_with_best(folder)))
    trials = ranked[ranked.trial.notna()]
    better = "" if trials.tied.any() else ranked.setting[0]
    trial = int(trials.trial.iloc[0]) if len(trials) else favourite
    return Choice(trial, ranked.setting[1:][ranked.tied[1:]].tolist(), better)


def recommended(folder: StudyFolder, choice: Choice, shares: pd.DataFrame, free: pd.DataFrame) -> str:
    """Which setting to take, and how free the parameters are that do not matter."""
    trial = choice.trial
    taken = f"trial {trial} as it is (`study export {html.escape(name_of(folder))} {trial}`)."
    text = f"**What to set:** take {taken}"
    if choice.better:
        better = html.escape(choice.better)
        text = f"**What to set:** the setting `{better}`, which no trial is as good as. The best trial is {taken}"
    if not len(folder.space.distributions):
        return text
    if shares.empty:
        return f"{text} There are too few trials to say which of its parameters matter."
    if free.empty:
        return f"{text} How far its parameters may be moved is not known."
    others = free[~free.index.isin(important(shares))]
    loose = (others["share"] >= 0.9 * others["by chance"]).sum()
    if len(others) < len(free):
        text += " If you change it, keep the parameters that matter most within their *plateaus*, below."
    if loose:
        which = f"{loose} of the other {len(others)} parameters" if len(others) > 1 else "The other parameter"
        text += (
            f" {which} hardly {'matter' if loose > 1 else 'matters'}: there the best trials differ as much as any do."
        )
    return text


def recommendations(shares: pd.DataFrame, free: pd.DataFrame, best: pd.Series, ended: Responses) -> pd.DataFrame:
    """Of each parameter that matters: its value in the best trial, its plateau, what leaving that costs and how much it
    explains. The dearest to leave is first.

    best: that trial's row. ended: what was found of the trials that were trained to the end.
    """
    names = [name for name in important(shares) if name in free.index]
    costs = ended.costs["mean"] if len(ended.costs) else pd.Series(dtype=float)
    rows = {}
    for name in sorted(
        names, key=lambda name: -costs.get(name, -np.inf)
    ):  # stable: as important, where costs are not known
        plateau = free.loc[[name]].iloc[0]
        rows[name] = {
            "set to": format_value(best[f"param.{name}"]),
            "plateau": _range(plateau) + (" *" if plateau["share"] >= 0.9 * plateau["by chance"] else ""),
        }
        if len(costs):
            rows[name]["lost outside"] = _lost(ended.costs.loc[name]) if name in costs else "-"
        rows[name] |= {
            "share of the variance": _both(shares.loc[name].filter(like="fANOVA")),
            "share of being among the best": _both(shares.loc[name].filter(like="PED")),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def important(shares: pd.DataFrame) -> pd.Index:
    """The parameters that matter by either measure, averaged over the two sets of trials; six at most."""
    measures = ("fANOVA", "PED")
    most = pd.concat([shares.filter(regex=f"^{measure}").mean(axis=1) for measure in measures], axis=1).max(axis=1)
    return most[most >= _MATTERS].sort_values(ascending=False).head(6).index


def _both(shares: pd.Series) -> str:
    """A share by the two sets of trials, which may not agree."""
    low, high = (f"{share:.0%}" for share in (shares.min(), shares.max()))
    return low if low == high else f"{low} to {high}"


def _range(plateau: pd.Series) -> str:
    """What a plateau spans, in words."""
    if plateau["choices"]:
        return " or ".join(map(format_value, plateau["choices"]))
    if plateau["low"] == plateau["high"]:
        return format_value(plateau["low"])
    return f"{format_value(plateau['low'])} to {format_value(plateau['high'])}"


def _lost(cost: pd.Series) -> str:
    if cost["high"] < 0.0005:
        return "nothing"
    mean, low, high = (f"{round(cost[end], 3) + 0:.3f}" for end in ("mean", "low", "high"))  # + 0: no -0.000
    return f"{mean} [{low}, {high}]"


def unknown(folder: StudyFolder, choice: Choice, noise: float, shares: pd.DataFrame, found: Responses) -> str:
    """What the study does not tell, as a list in Markdown."""
    trials, metric = folder.trials(), folder.goal.objectives[0]
    parameters = folder.parameters(choice.trial)
    lines = []
    if not len(folder.confirmation()):
        lines.append(f"How good the best is on new seeds: `study confirm {name_of(folder)}` measures it.")
    if choice.ties:
        lines.append(f"Which setting is the best: {listed(choice.ties)} cannot be told apart from it.")
    if not np.isnan(noise):
        lines.append(
            f"Whether two trials differ if their mean {metric} is closer than {noise:.3f}: seeds alone do that."
        )
    edges = [name for name, d in folder.space.distributions.items() if _at_edge(parameters[name], d)]
    if edges:
        are = "are at an end of their ranges" if len(edges) > 1 else "is at an end of its range"
        lines.append(
            f"What lies beyond the ranges: in trial {choice.trial}, {listed(edges, most=9)} {are}, so a wider search "
            "might find more."
        )
    if len(shares):
        gap = (shares["fANOVA, all"] - shares["fANOVA, spread"]).abs()
        unsure = gap[gap > 0.1].index.tolist()
        if unsure:
            lines.append(
                f"How important {listed(unsure)} {'are' if len(unsure) > 1 else 'is'}: it depends on which of "
                "the trials are asked."
            )
    if found.r2 > 0:
        lines.append(
            f"What the curves leave out: one parameter at a time explains {found.r2:.0%} of the variance of trials "
            "that they were not fitted to. The rest is parameters that act together, and seeds."
        )
    elif len(folder.space.distributions):
        lines.append("What one parameter does at a time: too few trials were trained to the end to say.")
    stopped = (trials.state == TrialState.STOPPED) & ~trials.audited
    if stopped.any():
        lines.append(
            f"How bad the {stopped.sum()} stopped trials would have been. Plateaus and the costs of leaving them are "
            "measured on trials that were trained to the end, so what drives training into failure is understated."
        )
    lines.append(
        f"Anything about other models, other data, or trainings of other lengths than {trials.steps.max():,} steps."
    )
    return html.escape("\n".join(f"- {line}" for line in lines), quote=False)


def _at_edge(value: object, distribution: object) -> bool:
    if hasattr(distribution, "choices"):
        return False
    place = unit(pd.Series([value]), distribution).item()  # type: ignore[arg-type]
    return not _EDGE < place < 1 - _EDGE
