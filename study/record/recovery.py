"""Repairing a study that lost a file or whose driver was killed: trials.parquet and the journal complete each other."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import optuna
import pyarrow as pa
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from anchoring.dopesheet import Dopesheet
from anchoring.errors import InputError
from study import private
from study.record.folder import StudyFolder
from study.record.tables import replicas_of, trials_table
from study.record.trial_state import TrialState
from study.record.untrusted import expect_plain_state
from study.record.writer import Writer
from study.search.searcher import requeue
from study.search.trial import ENDED, Report, Row, TrialRecord
from study.space.doses import dose_columns


def clean(folder: StudyFolder) -> None:
    """Remove what a killed driver left half-written: partial files, Optuna's lock, and an unfinished last line of the
    journal. No other process may be writing to the folder."""
    journal = folder.path / "optuna.journal"
    for pattern in (".*.partial", "*/.*.partial", f"{journal.name}.lock*"):
        for leftover in folder.path.glob(pattern):
            leftover.unlink()
    shutil.rmtree(folder.path / "ray", ignore_errors=True)  # Tune's files
    if journal.is_file():
        with open(journal, "r+b") as file:
            file.truncate(file.read().rfind(b"\n") + 1)


def reconcile(study: optuna.Study, folder: StudyFolder) -> None:
    """Bring Optuna and trials.parquet into agreement: each learns of finished trials that only the other knows.

    A trial that neither knows to have finished is WAITING afterwards, so it is asked for next. Raises InputError if the
    journal holds a pickle that Optuna must not load.
    """
    _fail_if_cut_short(study, folder)
    rows: dict[int, Row] = {row["trial"]: row for row in trials_table(folder.path).to_pylist()}
    for _ in range(len(study.trials), max(rows, default=-1) + 1):
        study.enqueue_trial({})
    requeue(study)
    waiting = study.get_trials(deepcopy=False, states=(OptunaState.WAITING,))
    if unfinished := [trial for trial in waiting if trial.number in rows]:
        for trial in unfinished:  # the journal may have been cut off between two parameters
            private.fix_parameters(study, trial, folder.parameters(trial.number))
        for _ in waiting:
            asked = study.ask(folder.space.distributions)
            if asked.number in rows:
                _finish(asked, rows[asked.number], study, folder)
        requeue(study)
    ended = [trial for trial in study.trials if trial.state.is_finished() and trial.number not in rows]
    if ended:
        lost = pa.Table.from_pylist([_row(trial, study, folder) for trial in ended])
        Writer(folder.path).write_trials(
            pa.concat_tables([trials_table(folder.path), lost], promote_options="permissive")
        )


def _fail_if_cut_short(study: optuna.Study, folder: StudyFolder) -> None:
    """Fail trials with an incomplete state of CMA-ES. Optuna writes the state in parts, and the driver may be killed in
    between."""
    for trial in study.get_trials(deepcopy=False):
        try:
            expect_plain_state(trial, folder.path / "optuna.journal")
        except InputError:
            if trial.state.is_finished():
                raise
            private.set_state(study, trial, OptunaState.FAIL)


def _finish(asked: optuna.Trial, row: Row, study: optuna.Study, folder: StudyFolder) -> None:
    """Finish a trial in Optuna as its row of trials.parquet and its replicas say."""
    reports = _reports(folder, asked.number, asked.params, TrialState(row["state"]), row["seconds"], row["reason"])
    exempted = sum(report.step <= row["steps"] for report in reports) if row["audited"] else None
    trial = TrialRecord(asked, folder.goal, exempted=exempted)
    for report in reports:
        trial.add(report)
    trial.finish(study)


def _row(known: FrozenTrial, study: optuna.Study, folder: StudyFolder) -> Row:
    """The row of trials.parquet of a trial that has ended in Optuna."""
    ended: Any = known.system_attrs.get(ENDED)
    try:
        state, seconds, reason = TrialState(ended["state"]), float(ended["seconds"]), str(ended["reason"])
        step = None if ended["exempted"] is None else int(ended["exempted"])
    except (TypeError, KeyError, ValueError):
        return _row_of_old(known, study, folder)
    reports = _reports(folder, known.number, known.params, state, seconds, reason)
    exempted = None if step is None else sum(report.step <= step for report in reports)
    return TrialRecord(optuna.Trial(study, private.identifier(known)), folder.goal, reports, exempted).row()


def _row_of_old(known: FrozenTrial, study: optuna.Study, folder: StudyFolder) -> Row:
    """The same row, from a journal of version 0.2 or before, which does not say why a trial failed."""
    replicas = replicas_of(folder.path, known.number)
    diverged = len(replicas) and replicas[replicas.step == replicas.step.max()].diverged.all()
    state = next(state for state in TrialState if state.in_optuna is known.state)
    if known.state == OptunaState.FAIL and not diverged:
        state = TrialState.FAILED
    seconds = known.duration.total_seconds() if known.duration else 0.0
    reports = _reports(folder, known.number, known.params, state, seconds)
    reported = len(known.intermediate_values)
    exempted = reported if state is TrialState.STOPPED and 0 < reported < len(reports) else None
    return TrialRecord(optuna.Trial(study, private.identifier(known)), folder.goal, reports, exempted).row()


def _reports(
    folder: StudyFolder,
    number: int,
    values: Mapping[str, Any],
    state: TrialState,
    seconds: float,
    reason: str = "its record was lost",
) -> list[Report]:
    """A trial's reports, one for each rung, from its rows of replicas.parquet. Without rows, a report of a failure.

    `values` are its parameters.
    """
    rungs = [rows.reset_index(drop=True) for _, rows in replicas_of(folder.path, number).groupby("step")]
    steps = [int(rows["step"][0]) for rows in rungs]
    doses = dict[str, float]()
    if rungs and values.keys() >= folder.space.distributions.keys():  # a kill may have cut them short
        schedule = folder.space.document(values)["schedule"]
        doses = dose_columns(Dopesheet.parse(schedule["rows"], schedule["file"]))
    reports = [
        Report(TrialState.STOPPED, step, seconds, rows, {step: folder.goal.values(rows)}, doses=doses)
        for step, rows in zip(steps, rungs, strict=True)
    ]
    if state is TrialState.FAILED or not reports:
        return [*reports, Report.failed(reason, seconds)]
    return [*reports[:-1], replace(reports[-1], state=state)]
