"""Comparing studies: how soon each was how good, and how their answers differ on held-out seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from anchoring.errors import InputError
from study.evidence.ranking import ranking
from study.evidence.verdicts import judged
from study.experiment import Metric
from study.record.folder import StudyFolder
from study.search import journal
from study.search.goal import by_seed
from study.space.space import concept_of


def named(folders: Sequence[StudyFolder]) -> dict[str, StudyFolder]:
    """Studies by the names that tables and figures call them: their own or, where two share one, their folders."""
    names = [folder.name for folder in folders]
    return {
        name if names.count(name) == 1 else str(folder.path): folder
        for name, folder in zip(names, folders, strict=True)
    }


def expect_comparable(folders: Sequence[StudyFolder]) -> None:
    """Raise InputError unless studies differ, have a complete trial each, and measure the same.

    They measure the same if experiment, concept and first objective are the same. Spaces, constraints, samplers, seeds
    and steps may differ.
    """
    first = folders[0]
    known: list[Any] = []
    for folder in folders:
        if (path := folder.path.resolve()) in known:
            raise InputError(f"{folder.path}: found this study twice, expected distinct studies")
        known.append(path)
        if folder.complete().empty:
            raise InputError(f"{folder.path}: found no complete trial, expected at least one to compare")
        for what, of in _SAME.items():
            if (found := of(folder)) != (expected := of(first)):
                raise InputError(f"{folder.path}: found the {what} {found}, expected that of {first.path}, {expected}")


def _concept(folder: StudyFolder) -> Any:
    return concept_of(folder.space) if folder.source.here else folder.space.template.get("concept")


_SAME: dict[str, Callable[[StudyFolder], Any]] = {
    "experiment": lambda folder: folder.source.name,
    "objective": lambda folder: folder.goal.objectives[0],
    "concept": _concept,
}
"""What studies must have in common."""


def best_so_far(folder: StudyFolder) -> pd.DataFrame:
    """The best trial after each amount of work.

    The best is the complete trial that keeps the constraints and has the best value, among the trials that had ended.
    Trials end in the order of the journal. A study without one, such as a published study, has them in the order of
    their numbers, in which they were proposed (`is_ordered`). Work counts the search alone, not rounds of promotion or
    the confirmation.

    Args:
        folder: the study.

    Returns:
        A row for each trial that was better than all before, and a last one for the end of the search: `work`, the
        optimizer steps of all replicas until then; `trial`; `mean`, the first objective's mean over the trial's
        replicas; and `band`, two standard errors of it. If no trial keeps the constraints, the last row
        alone, with NaN.

    Examples:
        >>> import study
        >>> best_so_far(study.load("analysis/published/deletion")).round(4).tail(2)
               work  trial    mean    band
        18  6802532    341  0.9435  0.0033
        19  7348896    341  0.9435  0.0033
    """
    goal, complete, order = folder.goal, folder.complete().set_index("trial"), ended_order(folder)
    values = complete["value"][complete.feasible.eq(True)].to_dict()
    work = replica_steps(folder).reindex(order).fillna(0).cumsum().astype(int)
    at_the_end = dict(list(folder.final().groupby("trial")))
    table: list[dict[str, Any]] = []
    best: float | None = None
    for trial in order:
        if trial in values and goal.better(values[trial], best):
            best = values[trial]
            scores = goal.sign * goal.scores(at_the_end[trial])
            table.append({"work": work[trial], "trial": trial, "mean": scores.mean(), "band": band(scores)})
    last = table[-1] if table else {"trial": pd.NA, "mean": math.nan, "band": math.nan}
    return pd.DataFrame([*table, {**last, "work": int(work.iloc[-1]) if len(work) else 0}])[_PROGRESS]


def replica_steps(folder: StudyFolder) -> pd.Series:
    """The optimizer steps that each trial's replicas were trained for, all together, by trial."""
    return folder.replicas().groupby(["trial", "seed"]).step.max().groupby("trial").sum()


_PROGRESS = ["work", "trial", "mean", "band"]


def at_work(progress: pd.DataFrame, work: int) -> pd.Series | None:
    """The row of `best_so_far` that stood after so much work. None if no trial was good enough by then."""
    before = progress[(progress.work <= work) & progress["mean"].notna()]
    return before.iloc[-1] if len(before) else None


def is_ordered(folder: StudyFolder) -> bool:
    """Whether the study's journal says in which order its trials ended."""
    return (folder.path / journal.NAME).is_file()


def ended_order(folder: StudyFolder) -> list[int]:
    """The numbers of the trials that have ended, in the order of the journal or, without one, of their numbers."""
    numbers = folder.trials().trial.tolist()
    if not is_ordered(folder):
        return sorted(numbers)
    ended = {trial.number: trial.datetime_complete for trial in folder.optuna().get_trials(deepcopy=False)}
    known = [number for number in numbers if ended.get(number)]
    return sorted(known, key=lambda number: (ended[number], number)) + sorted(set(numbers) - set(known))


def band(values: pd.Series) -> float:
    """Two standard errors of a mean. NaN of a single value."""
    return 2 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def answers(studies: Mapping[str, StudyFolder]) -> pd.DataFrame:
    """The confirmed answer of each study, and how it differs from that of the first one.

    Args:
        studies: the studies by `named`.

    Returns:
        A row for each study: `study`; those of `study.evidence.ranking.ranking` of its best trial on held-out seeds;
        `seeds`, how many these are; and the columns of `difference`, NaN for the first study. A study without a
        confirmed trial has NaN in all columns.
    """
    table: list[dict[str, Any]] = []
    first: pd.DataFrame | None = None
    for place, (name, folder) in enumerate(studies.items()):
        confirmed = folder.confirmation()
        ranked = ranking(confirmed, folder) if confirmed.trial.notna().any() else confirmed.assign(value=[])
        top: dict[str, Any] = {"study": name, "setting": ""}
        for _, row in ranked[ranked.trial.notna()].head(1).iterrows():
            rows, goal = confirmed[confirmed.setting == row.setting], folder.goal
            top |= {str(key): value for key, value in row.items()} | {"seeds": len(rows)}
            if place == 0:
                first = rows
            elif first is not None:
                top |= difference(rows, first, goal.objectives[0], goal.first)
        table.append(top)
    columns = ["setting", "trial", "seeds", "mean", "mean.low", "mean.high", "min", "failures", "feasible", "margin"]
    columns += ["binds", "difference", "low", "high", "band", "verdict", "paired"]
    return pd.DataFrame(table).reindex(columns=["study", *columns])


def difference(ours: pd.DataFrame, theirs: pd.DataFrame, name: str, metric: Metric) -> dict[str, Any]:
    """How much one setting's mean differs from another's, with its 95% t interval and its band of two standard errors.

    Seed by seed if two or more seeds are common: then only these count. Otherwise the samples are independent (Welch).

    Args:
        ours: the rows of a setting's replicas, with columns `seed`, `diverged` and the metric.
        theirs: those of the other one.
        name: the metric's name.
        metric: its declaration.

    Returns:
        `difference`, `low`, `high`, `band`; `verdict`, as in `study.evidence.verdicts.verdicts`; and `paired`, the
        number of common seeds, 0 if the difference is not taken seed by seed.

    Examples:
        >>> ours = pd.DataFrame({"seed": [0, 1, 2], "utility": [0.8, 0.9, 0.99], "diverged": False})
        >>> theirs = pd.DataFrame({"seed": [0, 1, 2], "utility": [0.7, 0.8, 0.9], "diverged": False})
        >>> found = difference(ours, theirs, "utility", Metric("how well it works"))
        >>> round(found["difference"], 3), found["verdict"], found["paired"]
        (0.097, 'better', 3)
    """
    a, b = (by_seed(rows, name, metric) for rows in (ours, theirs))
    common = a.index.intersection(b.index)
    if paired := len(common) if len(common) > 1 else 0:
        differences = a[common] - b[common]
        mean, error = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(paired)
        freedom = paired - 1.0
    else:
        mean = float(a.mean() - b.mean())
        parts = np.array([float(of.var(ddof=1)) / len(of) if len(of) > 1 else math.nan for of in (a, b)])
        error = float(np.sqrt(parts.sum()))
        freedom = math.nan
        if error > 0:
            shares = parts / parts.sum()  # the squares of tiny parts themselves would be 0
            freedom = 1 / float((shares**2 / (np.array([len(a), len(b)]) - 1)).sum())
    return {**judged(mean, error, freedom, metric), "paired": paired}


def differing(studies: Mapping[str, StudyFolder], found: pd.DataFrame) -> pd.DataFrame:
    """The parameters in which the studies' answers differ.

    Args:
        studies: the studies by `named`.
        found: their `answers`.

    Returns:
        A row for each parameter whose values are not all the same, indexed by its name, and a column for each study
        that has an answer. A cell is missing if the study's space has no such parameter.
    """
    chosen = found[found.trial.notna()]
    values = {row.study: studies[row.study].parameters(int(row.trial)) for _, row in chosen.iterrows()}
    names = dict.fromkeys(name for of in values.values() for name in of)
    table = {name: [of.get(name) for of in values.values()] for name in names}
    unequal = {name: cells for name, cells in table.items() if len(set(cells)) > 1}
    return pd.DataFrame.from_dict(unequal, orient="index", columns=list(values), dtype=object)
