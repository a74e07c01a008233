"""The commands that search: `study run`, `survey` and `resume`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from anchoring.errors import InputError
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
    print_answer,
    print_standing,
    unwrapped,
)
from study.search.plan import MAY_CHANGE, SURVEY, SURVEYED


@app.command(epilog="Example: study run search_spaces/mine.toml --minutes 5 --seeds 32 --name first-look")
@plan_options()
def run(
    space: SpaceFile,
    *,
    start: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE|STUDY[:TRIAL]", help="A setting to try first; there may be several."),
    ] = None,
    learn_from: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STUDY", help="A study whose trials the sampler knows, as far as its parameters are the same."
        ),
    ] = None,
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

    options |= {"experiment": experiment, "changed_experiment": changed_experiment}
    folder = api.run(space, start=start or (), learn_from=learn_from or (), name=name, out=out, **options)
    print_standing(folder)


@app.command(epilog="Example: study survey search_spaces/mine.toml --trials 64 --seeds 4 --promote 16:8 --promote 4:64")
@plan_options(SURVEYED, **SURVEY)
def survey(
    space: SpaceFile,
    *,
    listed: Annotated[
        Path | None,
        typer.Option("--from", metavar="FILE.csv", help="Train exactly these settings, as --plan writes them."),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write the settings that would be trained, to review, and train none."),
    ] = None,
    name: Annotated[str, typer.Option(help="The study's name; by default the space's, numbered.")] = "",
    out: Out = "runs",
    experiment: ExperimentFile = None,
    changed_experiment: Changed = False,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Map a space: train settings that are fixed beforehand, stop none, and promote the best to more seeds.

    The settings are points of a scrambled Sobol' sequence, which fill the space evenly. The report is a map: where the
    constraints are kept, which of them fails where, and how far the best settings may be moved.
    """
    from study import api

    if plan:
        if listed:
            raise InputError("--plan: found --from as well, expected one of them")
        settings = api.survey_points(space, options["trials"], options["seed"], experiment)
        try:
            with plan.open("x", encoding="utf-8") as file:
                file.write(settings)
        except OSError as error:
            raise InputError(f"--plan: {plan}: cannot be written ({error.strerror}), expected a new file") from None
        rows = settings.count("\n") - 1
        print_answer({"plan": plan, "settings": rows}, unwrapped(f"{plan}: {rows} settings; --from {plan} trains them"))
        return
    options |= {"experiment": experiment, "changed_experiment": changed_experiment}
    folder = api.survey(space, listed=listed, name=name, out=out, **options)
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
