"""The trials to go on with: to confirm, to report on, to publish."""

from __future__ import annotations

import pandas as pd

from study.evidence.nearest import nearest
from study.evidence.rounds import standing
from study.record.folder import StudyFolder


def leading(folder: StudyFolder, n: int | None = None) -> pd.DataFrame:
    """The leading trials of a study, as rows of `StudyFolder.trials`, the best first.

    After rounds of promotion these are the trials that went furthest, by all their seeds (`study.evidence.rounds`).
    Else they are those of `StudyFolder.best` or, if no complete trial keeps the constraints, those that miss least
    (`study.evidence.nearest`).

    Args:
        folder: the study.
        n: how many. By default all.

    Examples:
        >>> import study
        >>> leading(study.load("analysis/published/deletion"), 2).trial.tolist()
        [341, 306]
    """
    if len(folder.round(1)):
        order = standing(folder)[["trial"]].merge(folder.trials(), on="trial")
    elif (order := folder.best(len(folder.trials()))).empty:
        order = nearest(folder)
    return order if n is None else order.head(n)
