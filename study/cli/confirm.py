"""`study confirm`: the best settings, and settings to compare them with, on seeds that the search never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from study.cli.options import (
    Changed,
    Examine,
    ExperimentFile,
    Json,
    Out,
    StudyName,
    app,
    open_folder,
    plan_options,
    print_standing,
)
from study.search.plan import HELD_OUT, MOST_HELD_OUT


@app.command(epilog="Example: study confirm mine-001 --top 5 --seeds 64 --against search_spaces/plain.toml")
@plan_options(("cpus", "address"))
def confirm(
    study: StudyName,
    *,
    top: Annotated[int, typer.Option(min=0, help="How many of the best settings.")] = 3,
    seeds: Annotated[
        int, typer.Option(min=2, max=MOST_HELD_OUT, help="How many seeds that no search has seen.")
    ] = HELD_OUT,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="A fixed setting to compare with; by default the references of the experiment."),
    ] = None,
    examine: Examine = False,
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="Train the best of them without each of its terms, too.")
    ] = False,
    out: Out = "runs",
    experiment: ExperimentFile = None,
    changed_experiment: Changed = False,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Train a study's best settings again on held-out seeds, beside the settings to compare them with."""
    from study import api

    folder = open_folder(study, out, experiment)
    api.confirm(
        folder,
        top=top,
        seeds=seeds,
        against=against,
        examine=examine,
        leave_one_out=leave_one_out,
        changed_experiment=changed_experiment,
        **options,
    )
    print_standing(folder)
