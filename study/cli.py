"""The command line: `study run`, `train`, `report`, `show`, `export` and `spaces`."""

from __future__ import annotations

import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from excolor import InputError
from study.plan import SchedulerName

if TYPE_CHECKING:
    from study.folder import StudyFolder
    from study.space import Space

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Which settings make a model put hue where you want it? Studies of training settings, with error bars.",
)
console = Console()

Out = Annotated[Path, typer.Option(help="The folder of studies.")]
Seeds = Annotated[int, typer.Option(min=1, max=50_000, help="Replicas, each with its own seed, that train together.")]
Seed = Annotated[int, typer.Option(min=0, max=40_000, help="Fixes everything that is random.")]
Steps = Annotated[
    int | None, typer.Option(min=1, max=10_000_000, help="Stretch or shrink the schedule to so many steps.")
]
Rungs = Annotated[int, typer.Option(min=1, max=1000, help="How often replicas are measured and may be stopped.")]
Compile = Annotated[
    bool | None, typer.Option("--compile/--no-compile", help="Native training steps; by default where they pay.")
]
SpaceFile = Annotated[Path, typer.Argument(help="A search space's TOML file.")]
Study = Annotated[str, typer.Argument(help="A study's name, or its folder.")]
Trial = Annotated[int, typer.Argument(min=0, help="The number of one of its trials.")]


@app.command(epilog="Example: study run search_spaces/hue.toml --trials 100 --seeds 32 --name first-look")
def run(
    space: SpaceFile,
    trials: Annotated[int, typer.Option(min=1, help="How many settings to try.")] = 60,
    seeds: Seeds = 16,
    cpus: Annotated[int, typer.Option(min=0, help="Trials at a time, one CPU each; 0 is every CPU.")] = 0,
    name: Annotated[str, typer.Option(help="The study's name; by default the space's, numbered.")] = "",
    seed: Seed = 0,
    steps: Steps = None,
    rungs: Rungs = 10,
    scheduler: Annotated[SchedulerName, typer.Option(help="What stops hopeless trials early.")] = "asha",
    compiled: Compile = None,
    out: Out = Path("runs"),
) -> None:
    """Search a space for the settings that isolate hue best, and write a report."""
    from study import run as running
    from study import summary
    from study.folder import new_path
    from study.live import StudyView
    from study.plan import Plan, create
    from study.report import write_report
    from study.space import Space
    from study.tracking import Tracker

    search_space = Space.read(space, steps)
    if not search_space.distributions:
        raise InputError(f"{space}: found no range, expected one to search (`study train` trains a fixed setting)")
    plan = Plan(
        trials=trials,
        seeds=seeds,
        seed=seed,
        cpus=cpus,
        rungs=rungs,
        steps=steps,
        scheduler=scheduler,
        compiled=_compiled(compiled, search_space, trials, seeds),
    )
    folder = create(search_space, plan, new_path(out, name, space.stem))
    title = f"{folder.path}: {trials} trials of {space}, {seeds} seeds each, {plan.workers} at a time"
    with Tracker(folder, console) as tracker, StudyView(console, title, trials) as view:
        ended = running.run(search_space, plan, folder, [view, tracker])
    interrupted = f"{folder.path}: interrupted after {ended} of {trials} trials, whose results are there"
    if ended < trials and folder.best().empty:
        raise _FailedError(interrupted)
    if folder.best().empty:
        raise _FailedError(f"{folder.path}: no trial was completed; `study show {folder.path} TRIAL` says why")
    console.print(summary.best_settings(folder))
    with console.status("writing the report"):
        report = write_report(folder)
    console.print(f"report: {report}", soft_wrap=True, highlight=False)
    if ended < trials:
        raise _FailedError(interrupted)


@app.command(epilog="Example: study train search_spaces/seed.toml --seeds 64")
def train(
    setting: Annotated[Path, typer.Argument(help="A fixed setting's TOML file.")],
    seeds: Seeds = 16,
    seed: Seed = 0,
    steps: Steps = None,
    rungs: Rungs = 10,
    compiled: Compile = None,
    examine: Annotated[
        bool, typer.Option("--examine", help="Probe for hue, too, and see how fast it is learnt again.")
    ] = False,
    name: Annotated[str, typer.Option(help="Keep the result as a study of one trial, of this name.")] = "",
    out: Out = Path("runs"),
) -> None:
    """Train a fixed setting on many seeds at once, ablate it, and print what it measures."""
    from study import summary
    from study.folder import new_path
    from study.plan import Plan, create
    from study.space import Space
    from study.training import keep, train_once

    space = Space.read(setting, steps)
    if space.distributions:
        ranges = ", ".join(space.distributions)
        raise InputError(f"{setting}: found ranges ({ranges}), expected a fixed setting (`study run` searches ranges)")
    compiled = _compiled(compiled, space, 1, seeds)
    plan = Plan(trials=1, seeds=seeds, seed=seed, cpus=1, rungs=rungs, steps=steps, compiled=compiled)
    path = new_path(out, name, setting.stem)
    try:
        reports = train_once(space, plan, console, examine)
    except (MemoryError, RuntimeError, ValueError) as error:
        raise _FailedError(f"{setting}: {type(error).__name__}: {error}") from error
    if name:
        keep(reports, create(space, plan, path))
    console.print(summary.metrics(reports[-1].replicas))
    console.print(summary.meanings(reports[-1].replicas))


@app.command(epilog="Example: study report hue-001 --open")
def report(
    study: Study,
    out: Out = Path("runs"),
    open_it: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
) -> None:
    """Execute the report's notebook on a study and write report.html into its folder."""
    from study.report import write_report

    with console.status("writing the report"):
        path = write_report(_folder(study, out))
    console.print(f"report: {path}", soft_wrap=True, highlight=False)
    if open_it:
        webbrowser.open(path.resolve().as_uri())


@app.command(epilog="Example: study show hue-001 12")
def show(study: Study, trial: Trial, out: Out = Path("runs")) -> None:
    """Print a trial: how it ended, its parameters, its schedule and what its replicas measured."""
    from study import summary

    folder = _folder(study, out)
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

    folder = _folder(study, out)
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


class _FailedError(Exception):
    """The input was right, but the work failed."""


def _compiled(asked: bool | None, space: Space, trials: int, seeds: int) -> bool:
    """Whether to compile training steps: as asked, or where it pays. Says so if it would but there is no compiler."""
    from excolor.compilation import compiler
    from study.plan import worth_compiling

    wanted = worth_compiling(space, trials, seeds) if asked is None else asked
    if wanted and not compiler():
        console.print("found no C++ compiler (g++, or what CXX names): training runs eagerly, several times slower")
        return False
    return wanted


def _folder(study: str, out: Path) -> StudyFolder:
    from study.folder import load

    return load(study if (Path(study) / "manifest.json").is_file() else out / study)


def main() -> None:
    """Run the command line: exit code 0 for done, 1 for work that failed, 2 for wrong input."""
    errors = Console(stderr=True)
    try:
        app()
    except InputError as error:
        errors.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except _FailedError as error:
        errors.print(f"failed: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
