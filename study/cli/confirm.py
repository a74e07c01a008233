"""`study confirm`: the best settings, and what there is to compare them with, on seeds that the search never saw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from anchoring.errors import InputError
from study.cli.options import (
    Address,
    Changed,
    Cpus,
    ExperimentFile,
    Json,
    Out,
    Study,
    app,
    console,
    mirrored,
    open_folder,
    report_on,
    tell,
)

if TYPE_CHECKING:
    from study.evidence.confirmation import Candidate
    from study.record.folder import StudyFolder

HELD_OUT = 64  # seeds on which a study is confirmed


@app.command(epilog="Example: study confirm mine-001 --top 5 --seeds 64 --against search_spaces/plain.toml")
def confirm(
    study: Study,
    top: Annotated[int, typer.Option(min=0, help="How many of the best settings.")] = 3,
    seeds: Annotated[int, typer.Option(min=2, max=50_000, help="How many seeds that no search has seen.")] = HELD_OUT,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="A fixed setting to compare with; by default the references of the experiment."),
    ] = None,
    examine: Annotated[bool, typer.Option("--examine", help="Measure the experiment's dearer metrics, too.")] = False,
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="Train the best of them without each of its terms, too.")
    ] = False,
    experiment: ExperimentFile = None,
    changed_experiment: Changed = False,
    cpus: Cpus = 0,
    address: Address = None,
    as_json: Json = False,
    out: Out = Path("runs"),
) -> None:
    """Train a study's best settings again on held-out seeds, beside the settings to compare them with."""
    from study.cluster.connect import cluster
    from study.evidence.confirmation import candidates
    from study.record.lock import driving
    from study.search.examination import expect_examination
    from study.search.plan import Plan, expect_same_experiment
    from study.watch.status import status

    folder = open_folder(study, out, experiment)
    _ = folder.experiment  # says that it is not here
    if folder.best().empty:
        raise InputError(f"{folder.path}: found no {folder.goal.answer}, expected at least one to confirm")
    if examine:
        expect_examination(folder.experiment)
    chosen = candidates(folder, top, seeds, against)
    with driving(folder.path), mirrored(folder):
        expect_same_experiment(folder, changed_experiment)
        with cluster(replace(Plan.of(folder), cpus=cpus).workers, address, folder.source.packages()):
            confirm_on(folder, chosen, seeds, examine)
            if leave_one_out:
                _leave_one_out(folder, seeds)
        report_on(folder)
    tell(vars(status(folder)))


def confirm_on(folder: StudyFolder, chosen: list[Candidate], seeds: int, examine: bool = False) -> None:
    """Confirm a study's best settings on the Ray at hand, and print how they did."""
    from study.watch import summary

    _train_again(folder, chosen, seeds, "confirmation.parquet", examine)
    console.print(summary.confirmed(folder))


def _leave_one_out(folder: StudyFolder, seeds: int) -> None:
    """Train a study's best confirmed trial without each of its terms, and print what each is worth."""
    from study.evidence import confirmation
    from study.evidence.ranking import ranking
    from study.watch import summary

    ranked = ranking(folder.confirmation(), folder)
    for trial in ranked.trial.dropna().head(1):
        _train_again(folder, confirmation.leave_one_out(folder, int(trial)), seeds, "leave-one-out.parquet")
        console.print(summary.worths(folder))


def _train_again(folder: StudyFolder, chosen: list[Candidate], seeds: int, file: str, examine: bool = False) -> None:
    """Train settings on held-out seeds into one of the folder's files."""
    from rich.progress import Progress

    from study.evidence import confirmation
    from study.search.plan import Plan

    with Progress(console=console, transient=True, disable=not console.is_interactive) as progress:
        task = progress.add_task(f"training {len(chosen)} settings on {seeds} held-out seeds", total=None)

        def advanced(done: int, of: int) -> None:
            progress.update(task, completed=done, total=of)

        confirmation.confirm(chosen, folder, Plan.of(folder).held_out_seeds(seeds), advanced, examine, file)
