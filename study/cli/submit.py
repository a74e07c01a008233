"""`study submit`: a study on a cluster that is reached by its job API only."""

from __future__ import annotations

from typing import Annotated

import typer

from anchoring.errors import InputError
from study.cli.options import ExperimentFile, SpaceFile, app
from study.watch.screen import console


@app.command(
    epilog="Example: study submit search_spaces/mine.toml --address http://head:8265 --out s3://bucket/runs",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def submit(
    context: typer.Context,
    space: SpaceFile,
    address: Annotated[str, typer.Option(help="The cluster's Ray dashboard, such as http://127.0.0.1:8265.")],
    out: Annotated[str, typer.Option(help="The folder of studies: a URL, or a path that the cluster's head keeps.")],
    experiment: ExperimentFile = None,
) -> None:
    """Run a study on a cluster that is reached by its job API only, and show what it prints.

    The code, the experiment and the space travel there. All other options are those of `study run`.
    """
    from study.cluster.submission import submit as submit_job
    from study.space.space import Space

    search_space = Space.read(space, experiment=experiment)
    if "://" not in out and not out.startswith("/"):
        raise InputError(f"--out: found {out!r}, expected a URL or an absolute path (the job's own folder is not kept)")

    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    def log(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True, end="")

    raise typer.Exit(submit_job(search_space, address, ["--out", out, *context.args], say, log))
