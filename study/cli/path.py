"""`study path`: which change from a fixed setting to a study's best bought what."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from study.cli.options import ExperimentFile, Json, Out, StudyName, app, open_folder, plan_options, print_answer
from study.search.plan import OF_ARMS


@app.command(epilog="Example: study path mine-001 --from search_spaces/usual.toml --seeds 32")
@plan_options(OF_ARMS)
def path(
    study: StudyName,
    *,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="SETTING",
            help="The fixed setting to begin at: its TOML file, or the name of a shipped one.",
            show_default="the experiment's reference with the fewest differences",
        ),
    ] = None,
    trial: Annotated[
        int | None,
        typer.Option(min=0, help="The trial to end at.", show_default="the confirmed answer, or else the best"),
    ] = None,
    name: Annotated[str, typer.Option(help="The new study's name; by default the fixed setting's, numbered.")] = "",
    out: Out = "runs",
    experiment: ExperimentFile = None,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Find out which change from a fixed setting to a study's best setting bought what, by training.

    Changes are made one after another: the learning rate, the weight or other keys of a term, a term that comes or
    goes, a label, the steps. In each round every change that is left is trained on common seeds, and the best is kept.
    The settings on this path are then measured on held-out seeds. Gains are differences seed by seed, and their sum is
    the whole difference.
    """
    from study import fixed
    from study.evidence.paths import gains

    folder = open_folder(study, out, experiment)
    options |= {"name": name, "out": out, "experiment": experiment}
    made = fixed.path(folder, start=start, trial=trial, **options)
    goal = made.goal
    print_answer({"study": made.path, "gains": gains(made.path_settings(), goal.objectives[0], goal.first)})
