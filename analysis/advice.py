"""What to set, what it costs not to, and what is not known: computed from a study, in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.effects import unit
from analysis.responses import Responses
from study import StudyFolder
from study.live import format_value

_MATTERS = 0.05  # of the variance
_EDGE = 0.03  # of a range


def recommended(
    folder: StudyFolder, trial: int, shares: pd.DataFrame, free: pd.DataFrame, found: Mapping[str, Responses]
) -> str:
    """The setting to take, and of each parameter that matters where to keep it and what that is worth.

    found: what to call the trials that were fitted, and what was found of them.
    """
    metric = folder.goal.objectives[0]
    lines = [f"**What to set:** take trial {trial} as it is (`study export {folder.name} {trial}`)."]
    if shares.empty or free.empty:
        return f"{lines[0]} There are too few trials to say which of its parameters matter."
    important = shares[shares["fANOVA, all"] >= _MATTERS]["fANOVA, all"].head(5)
    if len(important):
        lines[0] += " If you change it, these parameters matter most:\n"
    for name, share in important.items():
        row = free.loc[[name]].iloc[0]
        text = f"- **{name}** ({share:.0%} of the variance): {_range(row)}"
        if row["share"] >= 0.9 * row["by chance"]:
            text += ", anywhere by itself, so it matters together with others or where trials fail"
        costs = {of: fitted.costs.loc[[name]].iloc[0] for of, fitted in found.items() if name in fitted.costs.index}
        if costs:
            text += f"; outside, {metric} is " + ", or ".join(f"{_lost(cost)} of {of}" for of, cost in costs.items())
        lines.append(f"{text}.")
    others = free[~free.index.isin(important.index)]
    loose = (others["share"] >= 0.9 * others["by chance"]).sum()
    if len(others):
        lines.append(
            f"\nOf the other {len(others)} parameters, {loose or 'none'} "
            f"{'spans' if loose == 1 else 'span'} among the best trials as much of the range as chance would have it."
        )
    return "\n".join(lines)


def _range(plateau: pd.Series) -> str:
    """What a plateau spans, in words."""
    if plateau["choices"]:
        return " or ".join(map(format_value, plateau["choices"]))
    if plateau["low"] == plateau["high"]:
        return format_value(plateau["low"])
    return f"{format_value(plateau['low'])} to {format_value(plateau['high'])}"


def _lost(cost: pd.Series) -> str:
    interval = f"[{cost['low']:.3f}, {cost['high']:.3f}]"
    if cost["low"] <= 0 <= cost["high"]:
        return f"not surely less ({cost['mean']:+.3f} {interval})"
    return f"{abs(cost['mean']):.3f} {'less' if cost['mean'] > 0 else 'more'} ({interval})"


def unknown(
    folder: StudyFolder, trial: int, ties: Sequence[str], noise: float, shares: pd.DataFrame, found: Responses
) -> str:
    """What the study does not tell, as a list."""
    trials, metric = folder.trials, folder.goal.objectives[0]
    setting, parameters = folder.setting(trial), folder.parameters(trial)
    lines = []
    if not len(folder.confirmation):
        lines.append(f"How good the best is on new seeds: `study confirm {folder.name}` measures it.")
    if ties:
        lines.append(f"Which is the best: {', '.join(ties)} cannot be told from it.")
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
            f"How bad the {stopped.sum()} stopped trials would have been. Plateaus and costs are of those that were "
            "trained to the end, so what drives training into failure is understated."
        )
    lines.append(
        f"Anything about other models or lengths of training than a {setting.model.kind} with a bottleneck of "
        f"{setting.model.bottleneck} and {len(setting.schedule) - 1:,} steps."
    )
    return "\n".join(f"- {line}" for line in lines)


def _at_edge(value: object, distribution: object) -> bool:
    if hasattr(distribution, "choices"):
        return False
    place = unit(pd.Series([value]), distribution).item()  # type: ignore[arg-type]
    return not _EDGE < place < 1 - _EDGE
