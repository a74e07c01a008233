"""What to set, what it costs not to, and what is not known: computed from a study, in Markdown."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.effects import unit
from analysis.responses import Responses
from analysis.words import name_of
from study import StudyFolder
from study.watch.live import format_value

_MATTERS = 0.05  # of the variance, or of what makes a trial one of the best
_EDGE = 0.03  # of a range


def recommended(folder: StudyFolder, trial: int, better: str, shares: pd.DataFrame, free: pd.DataFrame) -> str:
    """Which setting to take, and how free the parameters are that do not matter.

    better: a fixed setting that was confirmed to do better than every trial, if one did.
    """
    taken = f"trial {trial} as it is (`study export {html.escape(name_of(folder))} {trial}`)."
    text = f"**What to set:** take {taken}"
    if better:
        better = html.escape(better)
        text = f"**What to set:** the {better} setting, which no trial is as good as. The best of the trials is {taken}"
    if shares.empty or free.empty:
        return f"{text} There are too few trials to say which of its parameters matter."
    others = free[~free.index.isin(important(shares))]
    loose = (others["share"] >= 0.9 * others["by chance"]).sum()
    if len(others) < len(free):
        text += " If you change it, keep the parameters that matter most within their *plateaus*, below."
    if len(others):
        text += (
            f" Of the other {len(others)}, {loose or 'none'} {'is' if loose in (0, 1) else 'are'} as free among the "
            "best trials as chance would have it."
        )
    return text


def recommendations(shares: pd.DataFrame, free: pd.DataFrame, best: pd.Series, ended: Responses) -> pd.DataFrame:
    """Of each parameter that matters: why, its value in the best trial, its plateau, and what leaving that costs.

    best: that trial's row. ended: what was found of the trials that were trained to the end.
    """
    rows = {}
    for name in important(shares).intersection(free.index, sort=False):
        plateau = free.loc[[name]].iloc[0]
        rows[name] = {
            "of the variance": _both(shares.loc[name].filter(like="fANOVA")),
            "of being one of the best": _both(shares.loc[name].filter(like="PED")),
            "set to": format_value(best[f"param.{name}"]),
            "plateau": _range(plateau) + (" *" if plateau["share"] >= 0.9 * plateau["by chance"] else ""),
        }
        if len(ended.costs):
            rows[name]["lost outside"] = _lost(ended.costs.loc[name]) if name in ended.costs.index else "-"
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
    return f"{cost['mean']:.3f} [{cost['low']:.3f}, {cost['high']:.3f}]"


def unknown(
    folder: StudyFolder,
    trial: int,
    ties: Sequence[str],
    noise: float,
    shares: pd.DataFrame,
    found: Responses,
    stripes: float = 0.0,
) -> str:
    """What the study does not tell, as a list. stripes: how far ablated pure hues differ in lightness."""
    trials, metric = folder.trials, folder.goal.objectives[0]
    setting, parameters = folder.setting(trial), folder.parameters(trial)
    lines = []
    if not len(folder.confirmation):
        lines.append(f"How good the best is on new seeds: `study confirm {name_of(folder)}` measures it.")
    if ties:
        lines.append(f"Which is the best: {', '.join(ties)} cannot be told from the best.")
    if stripes > 0.02:
        lines.append(
            f"Whether hue can be forgotten altogether: after ablation pure hues still differ by {stripes:.3f} in "
            "lightness, where the oracle's do not. The mean of the channels as gray, which is no answer to hue alone, "
            "differs by 0.333 and has an isolation of 0.951."
        )
    if not np.isnan(noise):
        lines.append(f"Whether trials differ whose mean {metric} is closer than {noise:.3f}: seeds alone do that.")
    edges = [name for name, d in folder.space.distributions.items() if _at_edge(parameters[name], d)]
    if edges:
        lines.append(
            f"What lies beyond the ranges: trial {trial} is at an end of that of {', '.join(edges)}, so a wider search "
            "might find more."
        )
    if len(shares):
        gap = (shares["fANOVA, all"] - shares["fANOVA, spread"]).abs()
        unsure = gap[gap > 0.1].index.tolist()
        if unsure:
            lines.append(f"How important {', '.join(unsure)} is: it depends on which of the trials are asked.")
    if found.r2 > 0:
        lines.append(
            f"What the curves leave out: one parameter at a time explains {found.r2:.0%} of the variance of trials "
            "that they were not fitted to; the rest is parameters that act together, and seeds."
        )
    else:
        lines.append("What one parameter does at a time: too few trials were trained to the end to say.")
    stopped = (trials.state == "stopped") & ~trials.audited
    if stopped.any():
        lines.append(
            f"How bad the {stopped.sum()} stopped trials would have been. Plateaus, and the table's costs, are of "
            "those that were trained to the end, so what drives training into failure is understated."
        )
    lines.append(
        f"Anything about other models or lengths of training than a {setting.model.kind} with a bottleneck of "
        f"{setting.model.bottleneck} and {len(setting.schedule) - 1:,} steps."
    )
    return html.escape("\n".join(f"- {line}" for line in lines), quote=False)


def _at_edge(value: object, distribution: object) -> bool:
    if hasattr(distribution, "choices"):
        return False
    place = unit(pd.Series([value]), distribution).item()  # type: ignore[arg-type]
    return not _EDGE < place < 1 - _EDGE
