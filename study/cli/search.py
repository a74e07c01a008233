"""The commands that search: `study run` and `resume`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from study.cli.options import (
    Changed,
    ExperimentFile,
    Json,
    Out,
    SpaceFile,
    StudyName,
    app,
    open_folder,
    plan_options,
    print_standing,
)
from study.search.plan import MAY_CHANGE


@app.command(epilog="Example: study run search_spaces/mine.toml --minutes 5 --seeds 32 --name first-look")
@plan_options()
def run(
    space: SpaceFile,
    *,
    name: Annotated[str, typer.Option(help="The study's name; by default the space's, numbered.")] = "",
    out: Out = "runs",
    experiment: ExperimentFile = None,
    changed_experiment: Changed = False,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Search a space for the settings that isolate a concept best, confirm them on held-out seeds, and write a report.

    A study of this name that searches the same space the same way is continued, if more is asked of it.
    """
    from study import api

    folder = api.run(space, name=name, out=out, experiment=experiment, changed_experiment=changed_experiment, **options)
    print_standing(folder)


@app.command(epilog="Example: study resume mine-001 --trials 120")
@plan_options(MAY_CHANGE, as_before=True)
def resume(
    study: StudyName,
    *,
    out: Out = "runs",
    experiment: ExperimentFile = None,
    changed_experiment: Changed = False,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Go on with a study that was interrupted, or that is to have more trials. No trial that has ended is repeated."""
    from study import api

    folder = open_folder(study, out, experiment)
    api.resume(folder, changed_experiment=changed_experiment, **options)
    print_standing(folder)
