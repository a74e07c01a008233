"""What to set, what to keep and what is not known: computed from a study, in Markdown."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.effects import unit
from analysis.responses import Responses
from analysis.words import count, listed, name_of, tied_with_best, trials_named
from study import StudyFolder
from study.evidence.leading import leading
from study.record.trial_state import TrialState
from study.watch.live import format_value

_MATTERS = 0.05  # a parameter matters from this share on
_MEASURED = 0.0005  # a loss that three decimals show
_EDGE = 0.03  # a value is at an end of its range if it is within this share of it


@dataclass(frozen=True)
class Choice:
    """The setting that a reader should take.

    Attributes:
        trial: the best trial.
        ties: the settings that tie with it.
        better: a fixed setting that is better than every trial; empty if there is none.
    """

    trial: int
    ties: list[str]
    better: str = ""


def choose(folder: StudyFolder, ranked: pd.DataFrame | None) -> Choice:
    """The best confirmed trial; the search's favourite if no trial was confirmed.

    Args:
        folder: the study.
        ranked: its confirmed settings by `study.evidence.ranking.ranking`, or None.
    """
    favourite = int(leading(folder).trial.iloc[0])
    if ranked is None:
        return Choice(favourite, trials_named(tied_with_best(folder)))
    trials = ranked[ranked.trial.notna()]
    better = "" if trials.tied.any() else ranked.setting[0]
    trial = int(trials.trial.iloc[0]) if len(trials) else favourite
    return Choice(trial, ranked.setting[1:][ranked.tied[1:]].tolist(), better)


def recommended(folder: StudyFolder, choice: Choice, shares: pd.DataFrame, free: pd.DataFrame) -> str:
    """Which setting to take, and how many of the other parameters hardly matter."""
    trial = choice.trial
    taken = f"trial {trial} as it is (`study export {html.escape(name_of(folder))} {trial}`)."
    text = f"**What to set:** take {taken}"
    if choice.better:
        better = html.escape(choice.better)
        text = f"**What to set:** the setting `{better}`, which is better than every trial. The best trial is {taken}"
    if not len(folder.space.distributions):
        return text
    if shares.empty:
        return f"{text} There are too few trials to tell which of its parameters matter."
    if free.empty:
        return f"{text} How far its parameters may be moved is not known."
    others = free[~free.index.isin(important(shares))]
    loose = (others["share"] >= 0.9 * others["by chance"]).sum()
    if len(others) < len(free):
        text += " If you change it, keep the parameters that matter most within their *plateaus* (see below)."
    if loose:
        which = f"{loose} of the other {len(others)} parameters" if len(others) > 1 else "The other parameter"
        matter = "matter" if loose > 1 else "matters"
        it = "them" if loose > 1 else "it"
        text += f" {which} hardly {matter}: the best trials differ in {it} as much as all do."
    return text


def recommendations(shares: pd.DataFrame, free: pd.DataFrame, best: pd.Series, ended: Responses) -> pd.DataFrame:
    """The parameters to keep if the setting is changed: a row each, the dearest to leave first.

    A parameter is listed if it sets the best trials apart (PED-ANOVA) or if leaving its plateau costs something.

    Args:
        shares: `effects.importances`.
        free: `effects.plateaus`.
        best: the row of the trial to take.
        ended: `responses.responses` of the trials that were trained to the end.

    Returns:
        As text: the value to set, the plateau, what is lost outside it (if that is known), and the two shares.
    """
    costs = ended.costs["mean"] if len(ended.costs) else pd.Series(dtype=float)
    rows = {}
    # the sort is stable: by importance where no cost is known
    for name in sorted(_to_keep(shares, free, ended)[0], key=lambda name: -costs.get(name, -np.inf)):
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


def not_to_keep(shares: pd.DataFrame, free: pd.DataFrame, ended: Responses) -> str:
    """A sentence on the parameters that matter over the whole space but not among the best trials; or nothing."""
    names = _to_keep(shares, free, ended)[1]
    if not names:
        return ""
    one = len(names) == 1
    it, explains = ("it", "explains") if one else ("them", "explain")
    cost = f", and leaving {'its plateau' if one else 'their plateaus'} costs nothing measurable"
    return (
        f"Not listed: {listed(names)}, which {explains} part of the variance over the whole space. The best trials "
        f"hardly differ from the others in {it}{cost if len(ended.costs) else ''}. Some values of {it} are bad, but no "
        "particular value has to be kept."
    )


def _to_keep(shares: pd.DataFrame, free: pd.DataFrame, ended: Responses) -> tuple[list[Any], list[Any]]:
    """The important parameters: those that the best trials depend on, and those that they do not."""
    names = [name for name in important(shares) if name in free.index]
    low = ended.costs["low"] if len(ended.costs) else pd.Series(dtype=float)
    best = shares.filter(like="PED").mean(axis=1)
    keep = [name for name in names if best[name] >= _MATTERS or low.get(name, 0) >= _MEASURED]
    return keep, [name for name in names if name not in keep]


def important(shares: pd.DataFrame) -> pd.Index:
    """The parameters that matter by either measure, averaged over the two sets of trials: at most six."""
    measures = ("fANOVA", "PED")
    most = pd.concat([shares.filter(regex=f"^{measure}").mean(axis=1) for measure in measures], axis=1).max(axis=1)
    return most[most >= _MATTERS].sort_values(ascending=False).head(6).index


def _both(shares: pd.Series) -> str:
    """A share in the two sets of trials, which may disagree."""
    low, high = (f"{share:.0%}" for share in (shares.min(), shares.max()))
    return low if low == high else f"{low} to {high}"


def _range(plateau: pd.Series) -> str:
    """A plateau in words."""
    if plateau["choices"]:
        return " or ".join(map(format_value, plateau["choices"]))
    if plateau["low"] == plateau["high"]:
        return format_value(plateau["low"])
    return f"{format_value(plateau['low'])} to {format_value(plateau['high'])}"


def _lost(cost: pd.Series) -> str:
    if cost["high"] < _MEASURED:
        return "nothing"
    mean, low, high = (f"{round(cost[end], 3) + 0:.3f}" for end in ("mean", "low", "high"))  # + 0: no -0.000
    return f"{mean} [{low}, {high}]"


def unknown(folder: StudyFolder, choice: Choice, noise: float, shares: pd.DataFrame, found: Responses) -> str:
    """What the study leaves open, as a list in Markdown.

    Args:
        folder: the study.
        choice: the setting to take.
        noise: `effects.noise`.
        shares: `effects.importances`.
        found: `responses.responses` of all trials.
    """
    trials, metric = folder.trials(), folder.goal.objectives[0]
    parameters = folder.parameters(choice.trial)
    lines = []
    if not len(folder.confirmation()):
        lines.append(f"How good the best trial is on new seeds: `study confirm {name_of(folder)}` measures it.")
    if choice.ties:
        lines.append(f"Which setting is the best: {listed(choice.ties)} cannot be told apart from it.")
    if not np.isnan(noise):
        lines.append(
            f"Whether two trials really differ when their mean {metric} differs by less than {noise:.3f}: other seeds "
            "alone would change it by as much."
        )
    edges = [name for name, d in folder.space.distributions.items() if _at_edge(parameters[name], d)]
    if edges:
        are = "are at an end of their ranges" if len(edges) > 1 else "is at an end of its range"
        lines.append(
            f"What lies beyond the ranges: in trial {choice.trial}, {listed(edges, most=9)} {are}. A wider search "
            "might find something better."
        )
    if len(shares):
        gap = (shares["fANOVA, all"] - shares["fANOVA, spread"]).abs()
        unsure = gap[gap > 0.1].index.tolist()
        if unsure:
            are = "are" if len(unsure) > 1 else "is"
            lines.append(f"How important {listed(unsure)} {are}: the two sets of trials that were asked disagree.")
    lines += _unexplained(folder, found)
    early = trials.steps < trials.steps.max()  # a race stops trials with few seeds at the end, too
    stopped = int(((trials.state == TrialState.STOPPED) & ~trials.audited & early).sum())
    if stopped:
        lines.append(
            f"How bad the {count(stopped, 'stopped trial')} would have been at the end. Plateaus and the costs of "
            "leaving them are measured on trials that were trained to the end. They understate what makes training "
            "fail."
        )
    lines.append(
        f"Anything about other models, other data, or trainings that are not {trials.steps.max():,} steps long."
    )
    return html.escape("\n".join(f"- {line}" for line in lines), quote=False)


def _unexplained(folder: StudyFolder, found: Responses) -> list[str]:
    if not len(folder.space.distributions):
        return []
    if np.isnan(found.r2):
        return ["What a single parameter does: there are too few trials for curves."]
    if found.r2 <= 0:
        return ["What a single parameter does: curves do not predict trials that they were not fitted to."]
    return [
        "What explains the rest of the differences: single parameters explain "
        f"{found.r2:.0%} of the variance of trials that the curves were not fitted to. The rest is due to parameters "
        "that act together, and to seeds."
    ]


def _at_edge(value: object, distribution: object) -> bool:
    if hasattr(distribution, "choices"):
        return False
    place = unit(pd.Series([value]), distribution).item()  # type: ignore[arg-type]
    return not _EDGE < place < 1 - _EDGE
