"""The commands that look at what there is: `study report`, `show`, `export` and `spaces`."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from excolor import InputError
from study.cli.options import Out, Study, Trial, app, console, mirrored, open_folder


@app.command(epilog="Example: study report hue-001 --open")
def report(
    study: Study,
    out: Out = Path("runs"),
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Execute the report's notebook on a study and write report.html into its folder."""
    from study.report import write_report

    folder = open_folder(study, out)
    with mirrored(folder), console.status("writing the report"):
        path = write_report(folder)
    console.print(f"report: {path}", soft_wrap=True, highlight=False)
    if open_it:
        webbrowser.open(path.resolve().as_uri())


@app.command(epilog="Example: study show hue-001 12")
def show(study: Study, trial: Trial, out: Out = Path("runs")) -> None:
    """Print a trial: how it ended, its parameters, its schedule and what its replicas measured."""
    from study import summary

    folder = open_folder(study, out)
    row = folder.row(trial).iloc[0]
    reason = f" ({row.reason})" if row.reason else ""
    text = f"trial {trial} of {folder.name}: {row.state}{reason}, {row.steps:,} steps in {row.seconds:.1f} s"
    console.print(text, markup=False)
    parameters = Table(title="Parameters", title_justify="left", show_header=False)
    for key, value in folder.parameters(trial).items():
        parameters.add_row(escape(key), escape(str(value)))
    console.print(parameters)
    setting = folder.setting(trial)
    console.print(summary.schedule(setting))
    console.print(summary.drawn_schedule(setting))
    if row.steps:
        console.print(summary.metrics(folder.final(trial)))
        console.print(summary.meanings(folder.final(trial)))


@app.command(epilog="Example: study export hue-001 12 --to my-settings, then study train my-settings/hue-001-12.toml")
def export(
    study: Study,
    trial: Trial,
    to: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("."),
    out: Out = Path("runs"),
) -> None:
    """Write a trial's setting as a TOML and a CSV that `study train` takes."""
    from study.space import write_setting

    folder = open_folder(study, out)
    title = f"Trial {trial} of {folder.name}"
    path = write_setting(folder.document(trial) | {"title": title}, to, f"{folder.name}-{trial}")
    console.print(str(path), soft_wrap=True, highlight=False)


@app.command(epilog="Example: study spaces")
def spaces(folder: Annotated[Path, typer.Argument(help="Where to look.")] = Path("search_spaces")) -> None:
    """List the search spaces and fixed settings of a folder, with their questions."""
    from study.space import Space

    files = sorted(folder.glob("*.toml"))
    if not files:
        raise InputError(f"{folder}: found no TOML file, expected a folder of search spaces")
    table = Table()
    table.add_column("file", no_wrap=True)
    table.add_column("question")
    table.add_column("ranges", justify="right")
    table.add_column("steps", justify="right")
    for file in files:
        try:
            space = Space.read(file)
        except InputError as error:
            table.add_row(escape(str(file)), escape(f"error: {error}"), "", "")
            continue
        setting = space.setting(next(space.corners()))
        ranges = str(len(space.distributions)) if space.distributions else "fixed"
        table.add_row(escape(str(file)), escape(setting.title), ranges, f"{len(setting.schedule):,}")
    console.print(table)
    console.print("`study run` searches ranges; `study train` trains a fixed setting")
