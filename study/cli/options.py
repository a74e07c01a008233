"""What the commands share: the application, options of several commands, and how a study is found and reported on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from anchoring.errors import FailedError
from study import __version__
from study.cli.answer import as_json
from study.cli.screen import Screen

if TYPE_CHECKING:
    from rich.text import Text

    from study.record.folder import StudyFolder
    from study.record.mirror import Mirror
    from study.search.plan import Plan
    from study.space.space import Space

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
console = Screen()
if not (console.is_terminal or "COLUMNS" in os.environ):
    console.width = 160  # a pipe or a file is as wide as need be


def _locate(out: str | Path) -> Path:
    """The local folder of an --out."""
    if "://" not in str(out):
        return Path(out)
    from study.record.mirror import locate

    return locate(str(out))


Out = Annotated[
    Path, typer.Option(parser=_locate, metavar="PATH|URL", help="The folder of studies, or such as s3://bucket/prefix.")
]
Seeds = Annotated[int, typer.Option(min=1, max=50_000, help="Replicas, each with its own seed, that train together.")]
Seed = Annotated[int, typer.Option(min=0, max=40_000, help="Fixes everything that is random.")]
Steps = Annotated[
    int | None, typer.Option(min=1, max=10_000_000, help="Stretch or shrink the schedule to so many steps.")
]
Rungs = Annotated[int, typer.Option(min=1, max=1000, help="How often replicas are measured and may be stopped.")]
Compile = Annotated[
    bool | None, typer.Option("--compile/--no-compile", help="Native training steps; by default where they pay.")
]
Trials = Annotated[
    int | None,
    typer.Option(min=1, help="How many settings to try in all: 60, or as many as before, unless --minutes are given."),
]
Minutes = Annotated[
    float | None, typer.Option(min=0.01, help="How long to search; trials that run then are trained to the end.")
]
Limit = Annotated[
    float | None,
    typer.Option(min=0.01, help="Minutes a trial may take before it is ended, as failed: 60, or as before."),
]
Memory = Annotated[
    float | None, typer.Option(min=0.1, help="GiB a worker may allocate; by default its share of the machine's.")
]
Cpus = Annotated[int, typer.Option(min=0, help="Trials at a time, one CPU each; 0 is every CPU, of all nodes.")]
Address = Annotated[
    str | None,
    typer.Option(help="Run on the Ray cluster that this machine is a node of: auto, or its head's host:port."),
]
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
Top = Annotated[
    int, typer.Option("--confirm", min=0, help="How many of the best to train again on 64 held-out seeds; 0 skips it.")
]


def _known_spaces(incomplete: str) -> list[str]:
    """For the shell: the files that it may mean."""
    return [str(file) for file in Path("search_spaces").glob("*.toml") if str(file).startswith(incomplete)]


def _known_studies(context: typer.Context, incomplete: str) -> list[str]:
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
Study = Annotated[str, typer.Argument(help="A study's name, its folder, or its URL.", autocompletion=_known_studies)]
Trial = Annotated[int, typer.Argument(min=0, help="The number of one of its trials.")]
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


def tell(answer: Any, *rendered: Any) -> None:
    """Print a command's answer: `rendered`, for a person, or with --json the `answer` as plain data."""
    if console.stderr:
        print(as_json(answer))
    else:
        for part in rendered:
            console.print(part)


def choose_compiled(asked: bool | None, space: Space, plan: Plan) -> bool:
    """Whether to compile training steps: as asked, or where it pays. Says so if it would but there is no compiler."""
    from study.search.plan import worth_compiling

    if getattr(space.experiment, "step_kinds", None) is None:
        return False
    wanted = worth_compiling(space, plan) if asked is None else asked
    cannot = getattr(space.experiment, "cannot_compile", str)()
    if wanted and cannot:
        console.print(f"{cannot}: training runs eagerly, several times slower")
        return False
    return wanted


def open_folder(study: str, out: Path, experiment: Path | None = None) -> StudyFolder:
    """A study's folder; of one that is at a URL, its working copy, brought up to date."""
    from study.record.loading import load
    from study.record.mirror import fetch

    if "://" in study:
        return load(study, experiment)
    path = Path(study) if (Path(study) / "manifest.json").is_file() else out / study
    fetch(path)
    return load(path, experiment)


@contextmanager
def mirrored(folder: StudyFolder) -> Iterator[list[Mirror]]:
    """Upload what is done to a study to its URL, if it has one; yields the listener that does."""
    from study.record.mirror import Mirror, url_of

    url = url_of(folder.path.parent)
    if url is None:
        yield []
        return
    with Mirror(folder, url, console) as mirror:
        yield [mirror]
    if mirror.failed:
        kept = f"the study is in {folder.path}, and `study report {folder.path}` tries again"
        raise FailedError(f"{mirror.url}: could not be uploaded ({mirror.failed}); {kept}")


def unwrapped(text: str) -> Text:
    """A line that is not wrapped, such as a path that is to be copied."""
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ignore")


def report_on(folder: StudyFolder) -> None:
    """Write a study's report, and say where it is."""
    from study.watch.report import write_report

    with console.status("writing the report"), ThreadPoolExecutor(1) as aside:  # where Ctrl-C is not its own
        report = aside.submit(write_report, folder).result()
    console.print(f"report: {report}", soft_wrap=True, highlight=False)
