"""What is said beside the figures of effects: which sets of trials they show, and how each set misleads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from analysis.responses import ENOUGH, Responses

_BIASES = {
    "all trials": "a stopped trial counts with its score when it was stopped, which is too low",
    "trained to the end": "the trials that were stopped, mostly bad ones, are missing",
}

LABELS = (
    "The best complete trial that keeps the constraints, with at most so many labels, on the seeds of the search. "
    "Trials: how many had so few; the best of few trials is worth less. A sample counts each time it is drawn with a "
    "label."
)
"""How to read `labelling.table`, in Markdown."""

FLOORS = (
    "*Band*: the difference of two trials' means that seeds alone make, two standard errors on common seeds. *Typical "
    "difference*: that of two settings (root mean square), without what seeds make of it. *Pairs told apart* differ by "
    "more than the band; seeds alone make 5% differ so. The better half has the better objective, and was chosen by "
    "these very seeds, so differences of the objective look smaller there. Intervals are 95% bootstrap intervals. "
    "Arrows are beyond the axis. Metrics that differ only between seeds are left out."
)
"""How to read `noise_floor.table`, in Markdown."""

IMPORTANCES = (
    "Each column shares out what the parameters explain of a value by themselves (fANOVA). On the left, the value is "
    "the objective in complete trials or in those that keep all constraints, or how far complete trials are inside a "
    "constraint's bound. On the right, it is the rank by the mean objective among the trials that reached the rung. "
    "If trials were stopped, those are fewer and better at later rungs. *n*: the trials a column rests on, 300 drawn "
    "at random if there are more. *R²*: what a forest explains of the value in trials that it has not seen. Shares "
    "below 5% are not written."
)
"""How to read `importance_plots.heat_map`, in Markdown."""


def of_curves(found: Mapping[str, Responses]) -> str:
    """How to read the curves of `effect_plots.responses`, in Markdown.

    Args:
        found: the responses of each set of trials: "all trials" and "trained to the end".
    """
    text = "The most important parameters, at most six."
    drawn = [name for name, fitted in found.items() if fitted.curves]
    if drawn:
        text += (
            " A curve is what an additive model expects if one parameter moves and the others stay as the trials had "
            "them. Bands are 95% bootstrap intervals."
        )
    few = [name for name, fitted in found.items() if np.isnan(fitted.r2)]
    poor = [name for name in found if name not in drawn and name not in few]
    because = {
        f"there are fewer than {ENOUGH} trials, or all are equally good": few,
        "it would not predict new trials": poor,
    }
    missing = [
        f"There is no curve of {' or of '.join(f'*{name}*' for name in names)}: {reason}."
        for reason, names in because.items()
        if names
    ]
    return " ".join([text, *_warning("curves", drawn), *missing])


def of_costs(found: Mapping[str, Responses]) -> str:
    """How to read `effect_plots.costs`, in Markdown."""
    text = (
        "How much less is expected of trials with a parameter outside its plateau than of those inside, with 95% "
        "bootstrap intervals, beside which an estimate may lie where trials are few. Below 0, the trials outside do "
        "better on average, although the best is not among them."
    )
    drawn = [name for name, fitted in found.items() if len(fitted.costs)]
    return " ".join([text, *_warning("costs", drawn)])


def _warning(what: str, drawn: list[str]) -> list[str]:
    """How the sets of trials that are drawn mislead."""
    if not drawn:
        return []
    biases = [f"in *{name}*, {_BIASES[name]}" for name in drawn]
    if len(drawn) == 1:
        return [f"The {what} are of *{drawn[0]}* and are biased: {_BIASES[drawn[0]]}."]
    return [f"Both sets of trials are biased: {'; '.join(biases)}. Where they disagree, conclude nothing."]
