"""`study train`: a fixed setting, here and now."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from study.cli.options import Examine, ExperimentFile, Json, Out, app, plan_options, print_answer
from study.search.plan import TRAINED_ONCE


@app.command(epilog="Example: study train search_spaces/mine.toml --seeds 64")
@plan_options(TRAINED_ONCE)
def train(
    setting: Annotated[Path, typer.Argument(help="A fixed setting's TOML file.")],
    *,
    examine: Examine = False,
    name: Annotated[str, typer.Option(help="Keep the result as a study of one trial, of this name.")] = "",
    out: Out = "runs",
    experiment: ExperimentFile = None,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Train a fixed setting on many seeds at once, ablate it, and print what it measures."""
    from study import fixed
    from study.record.tables import summarise
    from study.watch import summary

    with TemporaryDirectory() as unkept:
        folder = fixed.train(
            setting, examine=examine, name=name, out=out if name else unkept, experiment=experiment, **options
        )
        final, metrics = folder.final(0).drop(columns="trial"), folder.metrics
    kept = folder.path if name else None
    answer = {"setting": setting, "study": kept, "metrics": summarise(final), "replicas": final}
    print_answer(answer, summary.metrics(final), summary.meanings(final, metrics))
