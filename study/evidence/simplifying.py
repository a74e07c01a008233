"""Simplifying a setting: changes are accepted one after another, as long as nothing that counts gets worse."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from study.evidence.arms import REFERENCE, Arm
from study.evidence.verdicts import WORSE, verdicts
from study.experiment import Document
from study.search.goal import Goal

Train = Callable[[str, Document], pd.DataFrame]
"""Trains a document under a name on the seeds of the arms, and returns its rows."""


def simplify(
    document: Document, arms: Sequence[Arm], rows: pd.DataFrame, goal: Goal, train: Train
) -> tuple[Document, list[str], pd.DataFrame]:
    """Accept changes greedily: those first that, alone, leave the objective best.

    A change is accepted if, together with those before it, no metric that counts is worse than the reference by more
    than its band. The objectives and the constraints' metrics count. So all that is lost is within one band.

    Args:
        document: the reference setting.
        arms: the changes.
        rows: the rows of the reference and of each arm alone.
        goal: what counts.
        train: how a combination of changes is measured.

    Returns:
        The simplest setting; the names of the accepted arms, in their order; and the rows of the combinations tried.
    """
    counts = {name: goal.metrics[name] for name in (*goal.objectives, *(bound.metric for bound in goal.bounds))}
    reference = rows[rows.setting == REFERENCE]
    alone = verdicts(rows, counts)
    free = set(alone.arm) - set(alone.arm[alone.verdict == WORSE])
    gains = alone[alone.metric == goal.objectives[0]].set_index("arm")["difference"] * goal.sign
    accepted: list[str] = []
    tried: list[pd.DataFrame] = []
    for arm in sorted((arm for arm in arms if arm.name in free), key=lambda arm: -gains[arm.name]):
        changed = arm.change(document)
        if changed == document:
            continue
        if accepted:
            measured = train(" + ".join([*accepted, arm.name]), changed)
            tried.append(measured)
            together = verdicts(pd.concat([reference, measured], ignore_index=True), counts)
            if (together.verdict == WORSE).any():
                continue
        document, accepted = changed, [*accepted, arm.name]
    return document, accepted, pd.concat(tried, ignore_index=True) if tried else rows.head(0)
