"""What the commands share: the application, their options, how a study is found, and how answers are printed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import Parameter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from study import __version__
from study.cli.answer import as_json
from study.search.plan import F, Plan, parameters, with_options
from study.watch.screen import console

if TYPE_CHECKING:
    from rich.text import Text

    from study.record.folder import StudyFolder

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
FLAGS = {"objectives": "--objective", "constraints": "--constraint", "compiled": "--compile/--no-compile"}
"""Options that are not called as their field of the plan is."""


def plan_options(
    names: Iterable[str] = Plan.model_fields, as_before: bool = False, **defaults: Any
) -> Callable[[F], F]:
    """Give a command that takes `**options` the plan's options of these names; with `as_before` none has a default."""
    return with_options([_as_option(parameter, as_before) for parameter in parameters(names, as_before, **defaults)])


def _as_option(parameter: Parameter, as_before: bool) -> Parameter:
    """A plan's option as Typer needs it."""
    kind, field = get_args(parameter.annotation)
    flags = [FLAGS[parameter.name]] if parameter.name in FLAGS else []
    bounds = {"min" if side == "ge" else "max": getattr(bound, side) for bound in field.metadata
              for side in ("ge", "le") if hasattr(bound, side)}  # fmt: skip
    kept = as_before and parameter.name != "address"
    own = parameter.default != field.default and not as_before
    shown = "as before" if kept else own or field.json_schema_extra["by_default"] or True
    if isinstance(field.default, tuple):
        kind = list[str] | None if as_before else list[str]
    return parameter.replace(
        annotation=Annotated[kind, typer.Option(*flags, help=field.description, show_default=shown, **bounds)]
    )


Out = Annotated[str, typer.Option(metavar="PATH|URL", help="The folder of studies, or such as s3://bucket/prefix.")]
ExperimentFile = Annotated[
    Path | None,
    typer.Option(
        "--experiment", metavar="FILE.py", help="A Python file that holds the experiment, if it is not installed."
    ),
]
Changed = Annotated[
    bool,
    typer.Option(
        "--changed-experiment", help="Go on although the experiment's code has changed since the study began."
    ),
]
Examine = Annotated[bool, typer.Option("--examine", help="Measure the experiment's dearer metrics, too.")]


def _known_spaces(incomplete: str) -> list[str]:
    """For the shell: the files that it may mean."""
    return [str(file) for file in Path("search_spaces").glob("*.toml") if str(file).startswith(incomplete)]


def known_studies(context: typer.Context, incomplete: str) -> list[str]:
    """For the shell: the studies that it may mean."""
    out = Path(context.params.get("out") or "runs")
    names = [manifest.parent.name for manifest in out.glob("*/manifest.json")]
    return sorted(name for name in names if name.startswith(incomplete))


def _print_version(asked: bool) -> None:
    if asked:
        print(f"study {__version__}")
        raise typer.Exit


def _leave_stdout(asked: bool) -> bool:
    console.stderr = asked
    return asked


SpaceFile = Annotated[
    Path,
    typer.Argument(help="A search space: its TOML file, or the name of a shipped one.", autocompletion=_known_spaces),
]
StudyName = Annotated[str, typer.Argument(help="A study's name, its folder, or its URL.", autocompletion=known_studies)]
TrialNumber = Annotated[int, typer.Argument(min=0, help="The number of one of its trials.")]
Json = Annotated[
    bool, typer.Option("--json", callback=_leave_stdout, help="The answer as JSON on stdout, and nothing else there.")
]


@app.callback()
def _study(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Which settings make a model put a concept where you want it? Studies of training settings, with error bars."""


def print_answer(answer: Any, *rendered: Any) -> None:
    """Print a command's answer: `rendered`, for a person, or with --json the `answer` as plain data."""
    if console.stderr:
        print(as_json(answer))
    else:
        for part in rendered:
            console.print(part)


def print_standing(folder: StudyFolder) -> None:
    """With --json, print how a study stands."""
    from study.watch.status import status

    if console.stderr:
        print_answer(vars(status(folder)))


def open_folder(study: str, out: str, experiment: Path | None = None) -> StudyFolder:
    """A study's folder. If the study is at a URL, it is the working copy, brought up to date."""
    from study.record.loading import load
    from study.record.mirror import fetch, working_folder
    from study.surroundings import expanded

    if "://" in study:
        return load(study, experiment)
    here = expanded(study)
    path = here if (here / "manifest.json").is_file() else working_folder(out) / study
    fetch(path)
    return load(path, experiment)


def unwrapped(text: str) -> Text:
    """A line that is not wrapped, such as a path that is to be copied."""
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ignore")
