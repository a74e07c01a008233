"""Which trials come nearest to keeping the constraints, and which constraint binds, if no trial keeps them all."""

from __future__ import annotations

import pandas as pd

from study.record.folder import StudyFolder


def nearest(folder: StudyFolder) -> pd.DataFrame:
    """The complete trials that break a constraint, that which misses least first.

    Constraints have different units. What a trial misses of each is compared in that constraint's bands: the median of
    the complete trials' bands, so that a trial with little noise is not called far away. Where bands are unknown or 0,
    misses are compared as they are.

    Args:
        folder: the study.

    Returns:
        Rows of `StudyFolder.trials`, with the columns `binds`, the constraint that is missed most; `missed`, by how
        much, in the metric's units; and `bands`, the same in bands.

    Examples:
        >>> import study
        >>> nearest(study.load("analysis/published/digits")).empty  # all its complete trials keep the constraints
        True
    """
    complete = folder.complete()
    if complete.empty or not folder.goal.constraints:
        return complete.head(0)
    final = dict(list(folder.final().groupby("trial")))
    table = []
    for _, row in complete[~complete.feasible].iterrows():
        missed, bands = folder.goal.violations(final[row.trial]), folder.goal.bands(final[row.trial])
        table += [{"trial": row.trial, "binds": name, "missed": missed[name], "band": bands[name]} for name in missed]
    if not table:
        return complete.head(0)
    misses = pd.DataFrame(table)
    usual = misses.groupby("binds").band.transform("median")
    misses["bands"] = misses.missed / usual.where(usual > 0, 1.0)
    most = misses.sort_values("bands", ascending=False, kind="stable").drop_duplicates("trial")
    order = most.sort_values("bands", kind="stable")[["trial", "binds", "missed", "bands"]]
    return order.merge(complete, on="trial")
