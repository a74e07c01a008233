"""`study compare`: studies side by side."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from study.cli.options import ExperimentFile, Json, Out, app, known_studies, open_folder, print_answer


@app.command(epilog="Example: study compare mine-001 mine-002 --to comparison.html")
def compare(
    studies: Annotated[
        list[str],
        typer.Argument(help="Two or more studies: names, folders or URLs.", autocompletion=known_studies),
    ],
    *,
    to: Annotated[Path, typer.Option(metavar="FILE.html", help="The page that is written.")] = Path("comparison.html"),
    figures: Annotated[
        Path | None, typer.Option(help="A folder that gets the figures, too, each as SVG and PDF.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    out: Out = "runs",
    experiment: ExperimentFile = None,
    as_json: Json = False,
) -> None:
    """Compare studies: the best so far over work, with bands of seed noise, and the confirmed answers side by side.

    Work is the optimizer steps of all replicas, so studies with unequal seeds and steps can be compared. The answers
    of the others are compared with the first study's, seed by seed where they were confirmed on the same seeds. The
    studies need the same experiment, concept and first objective.
    """
    from study import api
    from study.evidence.comparing import answers, best_so_far, differing, named
    from study.watch import comparison

    folders = [open_folder(study, out, experiment) for study in studies]
    page = api.compare(folders, to=to, figures=figures)
    by_name = named(folders)
    progress = {name: best_so_far(folder) for name, folder in by_name.items()}
    found = answers(by_name)
    unequal = differing(by_name, found)
    answer = {"page": page, "answers": found, "best so far": progress, "parameters": unequal.to_dict("index")}
    print_answer(
        answer,
        comparison.searches(by_name, progress),
        comparison.answers(by_name, found),
        *([comparison.parameters(unequal)] if len(unequal) else []),
    )
    if open_it:
        webbrowser.open(page.resolve().as_uri())
