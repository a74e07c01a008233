"""Rounds of promotion: the best trials are trained again on fresh seeds, and what they measured so far decides."""

from __future__ import annotations

import math
from typing import Any, cast

import pandas as pd

from study.record.folder import StudyFolder


def standing(folder: StudyFolder, before: float = math.inf) -> pd.DataFrame:
    """How trials stand by all their seeds so far: those of the search, and those of the rounds that they were in.

    A confirmation's seeds do not count: nothing is chosen by them.

    Args:
        folder: the study.
        before: count only the rounds before this one.

    Returns:
        A row for each complete trial that went furthest, the best first, with the columns `trial`; `round`, the last
        that it was in, 0 for the search alone; `seeds`, how many; `value`; `feasible`, `binds` and `margin` as in
        `study.evidence.ranking.ranking`; and `searched` and `fresh`, the value on the search's seeds and on the last
        round's.
    """
    rounds, goal = folder.rounds(), folder.goal
    rounds = rounds[rounds["round"] < before]
    final, complete = folder.final(), set(folder.complete().trial)
    last: pd.Series = rounds.groupby("trial")["round"].max()
    furthest = set(last.index[last == last.max()]) & complete if len(last) else complete
    of_references = pd.concat([*(goal.references.values()), rounds[rounds.trial.isna()]])
    goal = goal.beside(of_references) if len(of_references) else goal
    searched, again = dict(list(final.groupby("trial"))), dict(list(rounds.groupby("trial")))
    table: list[dict[str, Any]] = []
    for trial in sorted(furthest):
        fresh = again.get(trial)
        rows = searched[trial] if fresh is None else pd.concat([searched[trial], fresh], ignore_index=True)
        binds, margin = goal.tightest(rows)
        newest = None if fresh is None else fresh[fresh["round"] == fresh["round"].max()]
        table.append(
            {
                "trial": trial,
                "round": int(last.get(trial, 0)),
                "seeds": len(rows),
                "value": goal.values(rows)[0],
                "feasible": goal.keeps(rows),
                "binds": binds,
                "margin": margin,
                "searched": goal.values(searched[trial])[0],
                "fresh": math.nan if newest is None else goal.values(newest)[0],
            }
        )
    if not table:
        return pd.DataFrame({"trial": []})
    stands = pd.DataFrame(table)
    by = stands.assign(score=goal.sign * stands["value"], short=stands.margin.where(~stands.feasible, 0.0))
    order = by.sort_values(["feasible", "short", "score"], ascending=False, kind="stable").index
    return stands.loc[order].reset_index(drop=True)


def history(folder: StudyFolder) -> pd.DataFrame:
    """The value of each promoted trial on the seeds of the search, of each round and of the confirmation.

    Args:
        folder: the study.

    Returns:
        A row for each trial and stage, with the columns `trial`, `stage` (0 is the search, the last the confirmation),
        `seeds`, `value`, and `feasible`: whether it keeps the constraints on these seeds alone.
    """
    goal, final = folder.goal, folder.final()
    rounds, confirmed = folder.rounds(), folder.confirmation()
    promoted = set(rounds.trial.dropna()) | set(confirmed.trial.dropna())
    stages = [(0, goal, final)]
    stages += [(cast(int, number), goal.beside(rows), rows) for number, rows in rounds.groupby("round")]
    if len(confirmed):
        stages.append((len(stages), goal.beside(confirmed), confirmed))
    return pd.DataFrame(
        [
            {
                "trial": cast(int, trial),
                "stage": stage,
                "seeds": len(rows),
                "value": held.values(rows)[0],
                "feasible": held.keeps(rows),
            }
            for stage, held, of in stages
            for trial, rows in of.groupby("trial")
            if trial in promoted
        ]
    )
