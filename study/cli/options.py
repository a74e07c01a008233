"""What the commands share: the application, options of several commands, and how a study is found and reported on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from study.folder import StudyFolder
    from study.mirror import Mirror
    from study.plan import Plan
    from study.space import Space

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Which settings make a model put a concept where you want it? Studies of training settings, with error bars.",
)
console = Console()


def _locate(out: str | Path) -> Path:
    """The local folder of an --out."""
    if "://" not in str(out):
        return Path(out)
    from study.mirror import locate

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
Trials = Annotated[int | None, typer.Option(min=1, help="How many settings to try: 60, unless --minutes are given.")]
Minutes = Annotated[
    float | None, typer.Option(min=0.01, help="How long to search; trials that run then are trained to the end.")
]
Cpus = Annotated[int, typer.Option(min=0, help="Trials at a time, one CPU each; 0 is every CPU.")]
Address = Annotated[
    str | None,
    typer.Option(help="Run on this Ray cluster: auto, host:port or ray://host:port. --cpus 0 is all its CPUs."),
]
Top = Annotated[
    int, typer.Option("--confirm", min=0, help="How many of the best to train again on 64 held-out seeds; 0 skips it.")
]
SpaceFile = Annotated[Path, typer.Argument(help="A search space's TOML file.")]
Study = Annotated[str, typer.Argument(help="A study's name, its folder, or its URL.")]
Trial = Annotated[int, typer.Argument(min=0, help="The number of one of its trials.")]


class FailedError(Exception):
    """The input was right, but the work failed."""


def choose_compiled(asked: bool | None, space: Space, plan: Plan) -> bool:
    """Whether to compile training steps: as asked, or where it pays. Says so if it would but there is no compiler."""
    from excolor.compilation import compiler
    from study.plan import worth_compiling

    wanted = worth_compiling(space, plan) if asked is None else asked
    if wanted and not compiler():
        console.print("found no C++ compiler (g++, or what CXX names): training runs eagerly, several times slower")
        return False
    return wanted


def open_folder(study: str, out: Path) -> StudyFolder:
    """A study's folder; of one that is at a URL, its working copy, brought up to date."""
    from study.folder import load
    from study.mirror import fetch

    if "://" in study:
        return load(study)
    path = Path(study) if (Path(study) / "manifest.json").is_file() else out / study
    fetch(path)
    return load(path)


@contextmanager
def mirrored(folder: StudyFolder) -> Iterator[list[Mirror]]:
    """Upload what is done to a study to its URL, if it has one; yields the listener that does."""
    from study.mirror import Mirror, url_of

    url = url_of(folder.path.parent)
    if url is None:
        yield []
        return
    with Mirror(folder, url, console) as mirror:
        yield [mirror]
    if mirror.failed:
        kept = f"the study is in {folder.path}, and `study report {folder.path}` tries again"
        raise FailedError(f"{mirror.url}: could not be uploaded ({mirror.failed}); {kept}")


def report_on(folder: StudyFolder) -> None:
    """Write a study's report, and say where it is."""
    from study.report import write_report

    with console.status("writing the report"):
        report = write_report(folder)
    console.print(f"report: {report}", soft_wrap=True, highlight=False)
