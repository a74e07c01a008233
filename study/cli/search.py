"""The commands that search: `study run` and `resume`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from anchoring.errors import InputError
from study.cli.driving import driving, join, listeners, search
from study.cli.options import (
    Address,
    Changed,
    Compile,
    Cpus,
    ExperimentFile,
    Json,
    Limit,
    Memory,
    Minutes,
    Out,
    Rungs,
    Seed,
    Seeds,
    SpaceFile,
    Steps,
    Study,
    Top,
    Trials,
    app,
    choose_compiled,
    open_folder,
    tell,
)
from study.search.goal import Aggregate
from study.search.plan import SamplerName, SchedulerName
from study.watch.tracking import Tracked

Wandb = Annotated[
    Tracked,
    typer.Option(
        "--wandb",
        help="What has a W&B run: the study, or each of its trials as well. Offline; WANDB_MODE=online sends them, "
        "WANDB_MODE=disabled makes none.",
    ),
]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Write each trial's curves into the study's folder tensorboard/.")
]


@app.command(epilog="Example: study run search_spaces/mine.toml --minutes 5 --seeds 32 --name first-look")
def run(
    space: SpaceFile,
    trials: Trials = None,
    minutes: Minutes = None,
    seeds: Seeds = 16,
    cpus: Cpus = 0,
    address: Address = None,
    name: Annotated[str, typer.Option(help="The study's name; by default the space's, numbered.")] = "",
    seed: Seed = 0,
    steps: Steps = None,
    rungs: Rungs = 10,
    objective: Annotated[
        list[str],
        typer.Option(
            help="The metric to search for, by default the experiment's first; repeated, several, as a Pareto front."
        ),
    ] = (),  # type: ignore[assignment]
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
    limit: Limit = None,
    memory: Memory = None,
    wandb: Wandb = "study",
    tensorboard: TensorBoard = False,
    experiment: ExperimentFile = None,
    changed_experiment: Changed = False,
    as_json: Json = False,
    out: Out = Path("runs"),
) -> None:
    """Search a space for the settings that isolate a concept best, confirm them on held-out seeds, and write a report.

    A study of this name that searches the same space the same way is continued, if more is asked of it.
    """
    from study.record.loading import load
    from study.record.mirror import fetch, names
    from study.record.writer import new_path
    from study.search.plan import Plan, continued, create
    from study.search.rehearsal import rehearse
    from study.search.samplers import sampler as make
    from study.space.space import Space
    from study.watch.status import status

    search_space = Space.read(space, steps, experiment)
    if not search_space.distributions:
        raise InputError(f"{space}: found no range, expected one to search (`study train` trains a fixed setting)")
    plan = Plan(
        trials=trials or (None if minutes else 60),
        minutes=minutes,
        seeds=seeds,
        seed=seed,
        cpus=cpus,
        address=address,
        rungs=rungs,
        steps=steps,
        sampler=sampler,
        scheduler=scheduler,
        audit=audit,
        objectives=tuple(objective),
        aggregate=aggregate,
        constraints=tuple(constraint),
        limit=limit or Plan.limit,
        memory=memory,
    )
    plan = replace(plan, objectives=plan.goal(search_space.metrics()).objectives)
    make(plan, 0)
    if search_space.source.file:
        rehearse(search_space)
    join(address, search_space.source)
    plan = replace(plan, compiled=choose_compiled(compiled, search_space, plan))
    elsewhere = names(out)
    if name in elsewhere:
        fetch(out / name)
    known = bool(name) and (out / name).exists()
    folder = (
        load(out / name, experiment and search_space.source)
        if known
        else create(search_space, plan, new_path(out, name, space.stem, elsewhere))
    )
    if known:
        plan = continued(folder, search_space, plan)
    with driving(folder, plan, known, changed_experiment), listeners(folder, wandb, tensorboard) as heard:
        search(folder, plan, confirm, heard)
    tell(vars(status(folder)))


@app.command(epilog="Example: study resume mine-001 --trials 120")
def resume(
    study: Study,
    trials: Trials = None,
    minutes: Minutes = None,
    cpus: Annotated[
        int | None, typer.Option(min=0, help="Trials at a time, as of `run`; by default as many as before.")
    ] = None,
    address: Address = None,
    confirm: Top = 3,
    limit: Limit = None,
    memory: Memory = None,
    wandb: Wandb = "study",
    tensorboard: TensorBoard = False,
    experiment: ExperimentFile = None,
    changed_experiment: Changed = False,
    as_json: Json = False,
    out: Out = Path("runs"),
) -> None:
    """Go on with a study that was interrupted, or that is to have more trials. No trial that has ended is repeated."""
    from study.search.plan import Plan
    from study.watch.status import minutes_left, status

    folder = open_folder(study, out, experiment)
    plan = Plan.of(folder)
    if trials is not None and trials < len(folder.trials()):
        raise InputError(f"{folder.path}: has {len(folder.trials())} trials, expected more (--trials)")
    more = replace(
        plan,
        cpus=plan.cpus if cpus is None else cpus,
        address=address,
        trials=trials or (None if minutes else plan.trials),
        minutes=minutes if minutes or trials or plan.trials else minutes_left(folder),
        limit=limit or plan.limit,
        memory=memory or plan.memory,
    )
    if more.trials is None and more.minutes is None:
        raise InputError(
            f"{folder.path}: manifest.json: found neither trials nor minutes, expected --trials or --minutes"
        )
    _ = folder.experiment  # says that it is not here
    join(address, folder.source)
    with driving(folder, more, True, changed_experiment), listeners(folder, wandb, tensorboard) as heard:
        search(folder, more, confirm, heard)
    tell(vars(status(folder)))
