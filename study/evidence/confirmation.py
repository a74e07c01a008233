"""Confirming a study: its best settings, and fixed ones to compare with, are trained on seeds that no search used."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import ray
from ray.exceptions import RayError
from torch import nn

from anchoring.errors import FailedError, InputError
from study.evidence.leading import leading
from study.evidence.rounds import standing
from study.experiment import Document, Rung
from study.record.folder import StudyFolder, reference_files
from study.search.compiling import kinds_of, worth_compiling
from study.search.examination import examined
from study.search.goal import Goal
from study.search.limits import Clock, limit_memory
from study.search.trial import Reached
from study.space.document import without_term
from study.space.space import Space, concept_of, expect_concept
from study.surroundings import alone

AT_ONCE = 16  # replicas in a task; small tasks spread evenly over workers


@dataclass(frozen=True)
class Candidate:
    """A setting to be confirmed: a trial, a trial without one of its terms, or a fixed setting to compare with."""

    name: str
    space: Space
    document: Document
    trial: int | None = None
    compiled: bool = False

    @classmethod
    def of(cls, folder: StudyFolder, name: str, document: Document, trial: int | None = None) -> Candidate:
        """A setting in a study's space, compiled as the study is."""
        return cls(name, folder.space, document, trial, bool(folder.plan().compiled))

    @property
    def setting(self) -> Any:
        return self.space.validate(self.document)


def candidates(folder: StudyFolder, top: int, seeds: int, against: Sequence[Path] | None = None) -> list[Candidate]:
    """The settings to confirm: the study's best trials, and fixed settings to compare them with.

    Args:
        folder: the study.
        top: the number of trials.
        seeds: the number of held-out seeds, from which follows whether compiling pays.
        against: files of fixed settings. By default the experiment's references.

    Raises:
        InputError: if there are none, or a setting to compare with has ranges, has another concept, or lacks the
            study's metrics.
    """
    plan, best = folder.plan(), [_of_trial(folder, trial) for trial in _distinct(folder, leading(folder), top)]
    made = {kind for c in best if c.compiled for kind in kinds_of(c.space, c.setting) or ()}
    concept = concept_of(folder.space)
    others: list[Candidate] = []
    for file in reference_files(folder.space) if against is None else against:
        if file.stem in [other.name for other in others]:
            raise InputError(f"{file}: found a second setting named {file.stem}, expected distinct names (--against)")
        space = Space.read(file, plan.steps, folder.source)
        if space.distributions:
            raise InputError(f"{file}: found ranges, expected a fixed setting to compare with (--against)")
        expect_concept(space, concept, str(file), " (--against)")
        try:
            Goal.of(plan, space.metrics())
        except InputError as error:
            raise InputError(f"{file}: cannot be compared with the study (--against): {error}") from None
        kinds = kinds_of(space, space.setting()) or set()
        pays = worth_compiling(space, plan.but(trials=1, seeds=seeds)) or kinds <= made
        others.append(Candidate(file.stem, space, space.document(), compiled=bool(plan.compiled and pays)))
    others += compared_with(folder, seeds, {other.name for other in others})
    if not best + others:
        raise InputError(f"{folder.path}: found nothing to confirm, expected --top 1 or more, or --against SETTING")
    return best + others


def promoted(folder: StudyFolder, number: int, most: int) -> list[Candidate]:
    """The settings of a round of promotion: the best trials by the rounds before, and what constraints refer to."""
    trials = _distinct(folder, standing(folder, number), most)
    return [
        *(_of_trial(folder, trial) for trial in trials),
        *compared_with(folder, folder.plan().rounds[number - 1][1]),
    ]


def _of_trial(folder: StudyFolder, trial: int) -> Candidate:
    return Candidate.of(folder, f"trial {trial}", folder.document(trial), trial)


def _distinct(folder: StudyFolder, order: pd.DataFrame, most: int) -> list[int]:
    """The first trials that differ in a parameter. Samplers repeat themselves in small spaces."""
    known: list[dict[str, Any]] = []
    trials: list[int] = []
    for trial in order.trial.tolist():
        if len(trials) < most and (values := folder.parameters(trial)) not in known:
            known.append(values)
            trials.append(trial)
    return trials


def compared_with(folder: StudyFolder, seeds: int, but: Collection[str] = ()) -> list[Candidate]:
    """The settings that the study's relative constraints refer to, as they were when it began.

    Args:
        folder: the study.
        seeds: how many seeds they will be trained on, from which follows whether compiling pays.
        but: the names of those that are not needed.
    """
    plan, kept = folder.plan(), []
    for name in folder.goal.compared_with:
        if name not in but:
            space = Space.parse(folder.path / "references" / f"{name}.toml", None, folder.source)
            pays = bool(plan.compiled) and worth_compiling(space, plan.but(trials=1, seeds=seeds))
            kept.append(Candidate(name, space, space.document(), compiled=pays))
    return kept


def leave_one_out(folder: StudyFolder, trial: int) -> list[Candidate]:
    """The settings that show what each term of a trial is worth: the trial as it was, and without each of its terms."""
    whole = _of_trial(folder, trial)
    return [
        whole,
        *(
            replace(whole, name=f"without {term}", document=without_term(whole.document, term), compiled=False)
            for term in _trained(whole)
        ),
    ]


def _trained(whole: Candidate) -> list[str]:
    """The terms that act in training. Raises InputError if the experiment's settings do not say which."""
    if (trained := getattr(whole.setting, "trained", None)) is None:
        raise InputError("--leave-one-out: the experiment's settings have no `trained`, expected its terms by name")
    return list(trained)


def trained(
    chosen: list[Candidate],
    folder: StudyFolder,
    seeds: list[int],
    on_progress: Callable[[int, int], None],
    examine: bool = False,
) -> pd.DataFrame:
    """Train every candidate on the seeds, on the running Ray.

    Args:
        chosen: what to train.
        folder: the study.
        seeds: the seeds of the replicas.
        on_progress: called with the number of finished tasks and of all tasks.
        examine: whether to measure the metrics of `Experiment.examine` as well.

    Returns:
        A row for each candidate and seed, as in `StudyFolder.confirmation`.

    Raises:
        FailedError: if a task fails, or none ends within the plan's `limit`.
    """
    plan = folder.plan()
    parts = [seeds[start : start + AT_ONCE] for start in range(0, len(seeds), AT_ONCE)]
    task = ray.remote(num_cpus=1)(_train)
    waiting = [task.remote(candidate, part, examine, plan.memory) for candidate in chosen for part in parts]
    rows: dict[Any, pd.DataFrame] = {}
    todo, clock, since = list(waiting), Clock(), 0.0
    while todo:
        done, todo = ray.wait(todo, timeout=1)
        since = clock() if done else since
        late = clock() - since > plan.limit * 60
        failed = f"no training ended within {plan.limit:g} minutes (--limit)" if late else ""
        for part in done:
            failed = failed or _fetch(part, rows)
        if failed:
            raise FailedError(f"{folder.path}: training again failed: {failed}")
        on_progress(len(rows), len(waiting))
    return pd.concat([rows[part] for part in waiting], ignore_index=True)


def _fetch(part: Any, rows: dict[Any, pd.DataFrame]) -> str:
    """Add a finished task's rows, or return why it failed."""
    try:
        answer = ray.get(part)
    except RayError as error:  # the worker died
        return str(error).strip().rpartition("\n")[2] or type(error).__name__
    if isinstance(answer, str):
        return answer
    rows[part] = answer
    return ""


def _train(candidate: Candidate, seeds: list[int], examine: bool, memory: float | None) -> pd.DataFrame | str:
    """One task: a candidate's rows for some of the seeds, or the error that prevented them."""
    try:
        with alone():
            return _rows(candidate, seeds, examine, memory)
    except Exception as error:  # raised, Ray would log it as well
        return candidate.space.source.describe(error)


def _rows(candidate: Candidate, seeds: list[int], examine: bool, memory: float | None) -> pd.DataFrame:
    import torch

    torch.set_num_threads(1)
    limit_memory(memory, None)
    reached: list[Reached] = []
    experiment, setting = candidate.space.experiment, candidate.setting

    def on_rung(rung: Rung, model: nn.Module) -> None:
        reached.append(Reached.of(rung, model, seeds, experiment, setting))

    model = experiment.train(setting, seeds, rungs=1, compiled=candidate.compiled, on_rung=on_rung)
    rows = pd.DataFrame(reached[-1].columns)
    if examine:
        rows = rows.assign(**examined(experiment, model, setting, seeds, rows.diverged.to_numpy()))
    rows.insert(0, "setting", candidate.name)
    rows.insert(1, "trial", pd.Series([candidate.trial] * len(rows), dtype="Int64"))
    return rows
