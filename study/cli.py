"""The command line: `study run`, `resume`, `confirm`, `train`, `report`, `show`, `export` and `spaces`."""

from __future__ import annotations

import sys
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from excolor import InputError
from study.goal import Aggregate
from study.plan import SamplerName, SchedulerName

if TYPE_CHECKING:
    from study.folder import StudyFolder
    from study.plan import Plan
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
Trials = Annotated[int | None, typer.Option(min=1, help="How many settings to try: 60, unless --minutes are given.")]
Minutes = Annotated[
    float | None, typer.Option(min=0.01, help="How long to search; trials that run then are trained to the end.")
]
Cpus = Annotated[int, typer.Option(min=0, help="Trials at a time, one CPU each; 0 is every CPU.")]
Top = Annotated[
    int, typer.Option("--confirm", min=0, help="How many of the best to train again on 64 held-out seeds; 0 skips it.")
]
SpaceFile = Annotated[Path, typer.Argument(help="A search space's TOML file.")]
Study = Annotated[str, typer.Argument(help="A study's name, or its folder.")]
Trial = Annotated[int, typer.Argument(min=0, help="The number of one of its trials.")]


@app.command(epilog="Example: study run search_spaces/hue.toml --minutes 5 --seeds 32 --name first-look")
def run(
    space: SpaceFile,
    trials: Trials = None,
    minutes: Minutes = None,
    seeds: Seeds = 16,
    cpus: Cpus = 0,
    name: Annotated[str, typer.Option(help="The study's name; by default the space's, numbered.")] = "",
    seed: Seed = 0,
    steps: Steps = None,
    rungs: Rungs = 10,
    objective: Annotated[
        list[str], typer.Option(help="The metric to search for; repeated, several at once, as a Pareto front.")
    ] = ("isolation",),  # type: ignore[assignment]
    aggregate: Annotated[
        Aggregate,
        typer.Option(help="A trial's value, over its replicas; lcb: the mean's lower confidence bound."),
    ] = "mean",
    constraint: Annotated[
        list[str], typer.Option(help="What an answer must keep, such as 'utility >= 0.99'; may be repeated.")
    ] = (),  # type: ignore[assignment]
    sampler: Annotated[SamplerName, typer.Option(help="What proposes settings.")] = "tpe",
    scheduler: Annotated[SchedulerName, typer.Option(help="What stops hopeless trials early.")] = "asha",
    audit: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the trials to be stopped that run on, to see what was lost.")
    ] = 0.0,
    confirm: Top = 3,
    compiled: Compile = None,
    out: Out = Path("runs"),
) -> None:
    """Search a space for the settings that isolate hue best, confirm them on held-out seeds, and write a report.

    A study of this name that searches the same space the same way is continued, if more is asked of it.
    """
    from study.folder import new_path
    from study.plan import Plan, continued, create
    from study.samplers import sampler as make
    from study.space import Space

    search_space = Space.read(space, steps)
    if not search_space.distributions:
        raise InputError(f"{space}: found no range, expected one to search (`study train` trains a fixed setting)")
    plan = Plan(
        trials=trials or (None if minutes else 60),
        minutes=minutes,
        seeds=seeds,
        seed=seed,
        cpus=cpus,
        rungs=rungs,
        steps=steps,
        sampler=sampler,
        scheduler=scheduler,
        audit=audit,
        objectives=tuple(objective),
        aggregate=aggregate,
        constraints=tuple(constraint),
    )
    make(plan, 0)
    plan = replace(plan, compiled=_compiled(compiled, search_space, plan))
    folder = continued(out / name, search_space, plan) if name and (out / name).exists() else None
    _search(folder or create(search_space, plan, new_path(out, name, space.stem)), plan, confirm)


@app.command(epilog="Example: study resume hue-001 --trials 120")
def resume(
    study: Study,
    trials: Trials = None,
    minutes: Minutes = None,
    cpus: Cpus = 0,
    confirm: Top = 3,
    out: Out = Path("runs"),
) -> None:
    """Go on with a study that was interrupted, or that is to have more trials. No trial that has ended is repeated."""
    from study.plan import Plan, extend

    folder = _folder(study, out)
    plan = Plan.of(folder)
    more = replace(plan, cpus=cpus, trials=trials or (None if minutes else plan.trials), minutes=minutes)
    if minutes is None and more.trials is None:
        raise InputError(f"{folder.path}: was given minutes, not trials; expected --minutes or --trials to go on with")
    extend(folder, more)
    _search(folder, more, confirm)


@app.command(epilog="Example: study confirm hue-001 --top 5 --seeds 64 --against search_spaces/unregularized.toml")
def confirm(
    study: Study,
    top: Annotated[int, typer.Option(min=0, help="How many of the best settings.")] = 3,
    seeds: Annotated[int, typer.Option(min=2, max=50_000, help="How many seeds that no search has seen.")] = 64,
    against: Annotated[
        list[Path] | None,
        typer.Option(help="A fixed setting to compare with; by default seed and published."),
    ] = None,
    examine: Annotated[
        bool, typer.Option("--examine", help="Probe for hue, too, and see how fast it is learnt again.")
    ] = False,
    cpus: Cpus = 0,
    out: Out = Path("runs"),
) -> None:
    """Train a study's best settings again on held-out seeds, beside the seed's and the published setting."""
    from study.plan import Plan
    from study.run import cluster

    folder = _folder(study, out)
    if folder.best().empty:
        raise InputError(f"{folder.path}: found no complete trial, expected at least one to confirm")
    with cluster(replace(Plan.of(folder), cpus=cpus).workers):
        _confirm(folder, top, seeds, against, examine)
    _report(folder)


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
    plan = Plan(trials=1, seeds=seeds, seed=seed, cpus=1, rungs=rungs, steps=steps)
    plan = replace(plan, compiled=_compiled(compiled, space, plan))
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


def _search(folder: StudyFolder, plan: Plan, top: int) -> None:
    """Run a study's trials, confirm its best, write the report, and print what came of it."""
    from study import run as running
    from study import summary
    from study.live import StudyView
    from study.tracking import Tracker

    past = len(folder.trials)
    budget = f"{plan.minutes:g} minutes" if plan.trials is None else f"{plan.trials} trials"
    title = f"{folder.path}: {budget} of {folder.manifest['space']}, {plan.seeds} seeds each, {plan.workers} at a time"
    try:
        with running.cluster(plan.workers):
            with Tracker(folder, console) as tracker, StudyView(console, title, plan, past) as view:
                finished = running.run(plan, folder, [view, tracker])
            if finished and top and not folder.best().empty:
                _confirm(folder, top)
    except KeyboardInterrupt:
        finished = False
    if not finished:
        kept = f"interrupted after {len(folder.trials)} trials, which are kept"
        raise _FailedError(f"{folder.path}: {kept}; `study resume {folder.path}` goes on")
    if folder.best().empty:
        which = "that keeps the constraints " if plan.constraints else ""
        raise _FailedError(f"{folder.path}: no trial {which}was completed; `study show {folder.path} TRIAL` says why")
    console.print(summary.best_settings(folder))
    _report(folder)


def _confirm(
    folder: StudyFolder, top: int, seeds: int = 64, against: list[Path] | None = None, examined: bool = False
) -> None:
    """Confirm a study's best settings on the Ray at hand, and print how they did."""
    from ray.exceptions import RayError
    from rich.progress import Progress

    from study import confirmation, summary
    from study.plan import Plan

    references = confirmation.REFERENCES if against is None else tuple(against)
    chosen = confirmation.candidates(folder, top, seeds, references)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(f"confirming {len(chosen)} settings on {seeds} held-out seeds", total=None)

        def advanced(done: int, of: int) -> None:
            progress.update(task, completed=done, total=of)

        try:
            confirmation.confirm(chosen, folder, Plan.of(folder).held_out_seeds(seeds), advanced, examined)
        except RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise _FailedError(f"{folder.path}: could not be confirmed: {reason}") from None
    console.print(summary.confirmed(folder))


def _report(folder: StudyFolder) -> None:
    from study.report import write_report

    with console.status("writing the report"):
        report = write_report(folder)
    console.print(f"report: {report}", soft_wrap=True, highlight=False)


def _compiled(asked: bool | None, space: Space, plan: Plan) -> bool:
    """Whether to compile training steps: as asked, or where it pays. Says so if it would but there is no compiler."""
    from excolor.compilation import compiler
    from study.plan import worth_compiling

    wanted = worth_compiling(space, plan) if asked is None else asked
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
