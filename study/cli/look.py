"""The commands that look at studies and spaces: `study report`, `show`, `export` and `spaces`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from anchoring.errors import InputError
from study.cli.options import (
    ExperimentFile,
    Json,
    Out,
    StudyName,
    TrialNumber,
    app,
    open_folder,
    print_answer,
    unwrapped,
)


@app.command(epilog="Example: study report mine-001 --open")
def report(
    study: StudyName,
    out: Out = "runs",
    notebook: Annotated[
        str,
        typer.Option(
            help="Which: report, map, arms, variance, path, early-stopping, controls, experiment, or a file.",
            show_default="report; the page of its kind for a survey, arms, variance or a path",
        ),
    ] = "",
    figures: Annotated[
        Path | None, typer.Option(help="A folder that gets the figures, too, each as SVG and PDF.")
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    experiment: ExperimentFile = None,
    as_json: Json = False,
) -> None:
    """Execute a notebook, the report's or another, on a study and write it as HTML into the study's folder."""
    from study import api

    path = api.report(open_folder(study, out, experiment), notebook=notebook, figures=figures)
    print_answer({"report": path})
    if open_it:
        webbrowser.open(path.resolve().as_uri())


@app.command(epilog="Example: study show mine-001 12")
def show(
    study: StudyName,
    trial: TrialNumber,
    experiment: ExperimentFile = None,
    as_json: Json = False,
    out: Out = "runs",
) -> None:
    """Print a trial: how it ended, its parameters, its schedule and what its replicas measured."""
    from anchoring.dopesheet import Dopesheet
    from study.watch import summary

    folder = open_folder(study, out, experiment)
    row = folder.row(trial).iloc[0]
    reason = f" ({row.reason})" if row.reason else ""
    if folder.space.distributions and row.filter(like="param.").isna().all():  # it failed before it had any
        print_answer(row.to_dict(), escape(f"trial {trial} of {folder.name}: {row.state}{reason}"))
        return
    document, final = folder.document(trial), folder.final(trial)
    sheet = Dopesheet.parse(document["schedule"]["rows"], document["schedule"]["file"])
    answer = {
        **{str(key): value for key, value in row.items() if not str(key).startswith("param.")},
        "parameters": folder.parameters(trial),
        "setting": document,
        "replicas": final,
    }
    text = f"trial {trial} of {folder.name}: {row.state}{reason}, {row.steps:,} steps in {row.seconds:.1f} s"
    parameters = Table(title="Parameters", title_justify="left", show_header=False)
    for key, value in folder.parameters(trial).items():
        parameters.add_row(escape(key), escape(str(value)))
    print_answer(
        answer,
        escape(text),
        parameters,
        summary.schedule(sheet),
        summary.drawn_schedule(sheet, document.get("regularizers", {})),
        *([summary.metrics(final), summary.meanings(final, folder.metrics)] if row.steps else []),
    )


@app.command(epilog="Example: study export mine-001 12 --to my-settings, then study train my-settings/mine-001-12.toml")
def export(
    study: StudyName,
    trial: TrialNumber,
    to: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("."),
    experiment: ExperimentFile = None,
    as_json: Json = False,
    out: Out = "runs",
) -> None:
    """Write a trial's setting as a TOML and a CSV that `study train` takes."""
    from study.space.document import write_setting

    folder = open_folder(study, out, experiment)
    title = f"Trial {trial} of {folder.name}"
    path = write_setting(folder.document(trial) | {"title": title}, to, f"{folder.name}-{trial}")
    print_answer({"setting": path}, unwrapped(str(path)))


@app.command(epilog="Example: study spaces")
def spaces(
    folder: Annotated[
        Path | None, typer.Argument(help="Where to look; by default search_spaces/, or else what was installed.")
    ] = None,
    experiment: ExperimentFile = None,
    as_json: Json = False,
) -> None:
    """List the search spaces and fixed settings of a folder, with their questions."""
    from study.registry import from_file, shipped
    from study.space.space import Space

    source = from_file(experiment) if experiment else None
    here = Path("search_spaces")
    folders = (
        [folder] if folder else [here] if here.is_dir() and not source else shipped(source.load() if source else None)
    )
    files = [file for each in folders for file in sorted(each.glob("*.toml"))]
    if not files:
        where = ", ".join(map(str, folders)) or "the experiment's spaces"
        raise InputError(f"{where}: found no TOML file, expected a folder of search spaces")
    table = Table()
    table.add_column("file", overflow="fold")
    table.add_column("question", overflow="fold", min_width=24)
    table.add_column("ranges", justify="right", no_wrap=True)
    table.add_column("steps", justify="right", no_wrap=True)
    answer: list[dict[str, Any]] = []
    for file in files:
        try:
            space = Space.read(file, experiment=source)
        except InputError as error:
            table.add_row(escape(str(file)), escape(f"error: {error}"), "", "")
            answer.append({"file": file, "error": str(error)})
            continue
        setting = space.setting(next(space.corners()))
        names = list(space.distributions)
        ranges = str(len(names)) if names else "fixed"
        answer.append({"file": file, "title": setting.title, "ranges": names, "steps": len(setting.schedule)})
        table.add_row(escape(str(file)), escape(setting.title), ranges, f"{len(setting.schedule):,}")
    print_answer(answer, table, "`study run` searches ranges; `study train` trains a fixed setting")
