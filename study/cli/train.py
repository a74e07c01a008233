"""`study train`: a fixed setting, here and now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from anchoring.errors import FailedError, InputError
from study.cli.options import (
    Compile,
    ExperimentFile,
    Json,
    Out,
    Rungs,
    Seed,
    Seeds,
    Steps,
    app,
    choose_compiled,
    console,
    mirrored,
    tell,
)


@app.command(epilog="Example: study train search_spaces/mine.toml --seeds 64")
def train(
    setting: Annotated[Path, typer.Argument(help="A fixed setting's TOML file.")],
    seeds: Seeds = 16,
    seed: Seed = 0,
    steps: Steps = None,
    rungs: Rungs = 10,
    compiled: Compile = None,
    examine: Annotated[bool, typer.Option("--examine", help="Measure the experiment's dearer metrics, too.")] = False,
    name: Annotated[str, typer.Option(help="Keep the result as a study of one trial, of this name.")] = "",
    experiment: ExperimentFile = None,
    as_json: Json = False,
    out: Out = Path("runs"),
) -> None:
    """Train a fixed setting on many seeds at once, ablate it, and print what it measures."""
    from study.record.mirror import names
    from study.record.tables import summarise
    from study.record.writer import new_path
    from study.search.examination import expect_examination
    from study.search.plan import Plan, create
    from study.search.single import keep, train_once
    from study.space.space import Space
    from study.watch import summary

    space = Space.read(setting, steps, experiment)
    if space.distributions:
        ranges = ", ".join(space.distributions)
        raise InputError(f"{setting}: found ranges ({ranges}), expected a fixed setting (`study run` searches ranges)")
    if examine:
        expect_examination(space.experiment)
    metrics = space.metrics()
    plan = Plan(trials=1, seeds=seeds, seed=seed, cpus=1, rungs=rungs, steps=steps)
    plan = replace(plan, compiled=choose_compiled(compiled, space, plan))
    path = new_path(out, name, setting.stem, names(out) if name else ())
    try:
        reports = train_once(space, plan, plan.goal(metrics), console, examine)
    except (MemoryError, RuntimeError, ValueError) as error:
        raise FailedError(f"{setting}: {type(error).__name__}: {error}") from error
    if name:
        folder = create(space, plan, path)
        with mirrored(folder):
            keep(reports, folder)
    final = reports[-1].replicas
    answer = {"setting": setting, "study": path if name else None, "metrics": summarise(final), "replicas": final}
    tell(answer, summary.metrics(final), summary.meanings(final, metrics))
