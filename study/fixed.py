"""What is done with a fixed setting: it is trained, judged by its arms, changed step by step, or its noise taken apart.

A notebook or a script calls these functions, as the command line does. `study.api` has those that search.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from anchoring.errors import FailedError, InputError
from study.driving import mirrored
from study.record.folder import StudyFolder
from study.record.loading import opened
from study.record.manifest import create_anew
from study.record.mirror import names, working_folder
from study.record.writer import new_path
from study.registry import Source
from study.search.compiling import decide_compiled
from study.search.examination import expect_examination
from study.search.goal import Goal
from study.search.plan import ARMS, OF_ARMS, TRAINED_ONCE, Plan, parameters, with_options
from study.search.single import keep, train_once
from study.search.trial import Report
from study.space.document import rescaled
from study.space.space import Space, concept_of, expect_concept
from study.surroundings import expanded
from study.watch.screen import console

MOST_VARIED = 10_000
"""Combinations of seeds' parts."""


@with_options(parameters(TRAINED_ONCE))
def train(
    setting: str | Path,
    *,
    examine: bool = False,
    name: str = "",
    out: str | Path = "runs",
    experiment: str | Path | None = None,
    **options: Any,
) -> StudyFolder:
    """Train a fixed setting on many seeds at once, here and without Ray, and ablate it.

    Args:
        setting: a setting without ranges: its TOML file, or the name of a shipped one.
        examine: measure the experiment's dearer metrics, too.
        name: the study's name; by default the setting's, numbered.
        out: the folder of studies, or a URL such as s3://bucket/prefix.
        experiment: a Python file that holds the experiment, if it is not installed. It is executed.
        options: seeds, seed, steps, rungs and compiled, as of `study.Plan`.

    Returns:
        A study of one trial.

    Raises:
        InputError: if the setting has ranges, or something else is wrong with what is asked.
        FailedError: if the training fails.
    """
    plan, space, goal, elsewhere, place = _fixed(
        setting, Plan(trials=1, cpus=1, confirm=0, **options), name, out, experiment
    )
    if examine:
        expect_examination(space.experiment)
    reports = _train(setting, space, plan, goal, examine)
    folder = create_anew(space, plan, place, name, elsewhere)
    with mirrored(folder):
        keep(reports, folder)
    return folder


def _fixed(
    setting: str | Path, plan: Plan, name: str, out: str | Path, experiment: str | Path | Source | None
) -> tuple[Plan, Space, Goal, set[str], Path]:
    """What it takes to train a fixed setting: the plan, decided; the setting; its goal; taken names; and the place."""
    place = working_folder(out)
    space = Space.read(setting, plan.steps, experiment)
    if space.distributions:
        ranges = ", ".join(space.distributions)
        raise InputError(f"{setting}: found ranges ({ranges}), expected a fixed setting (`study run` searches ranges)")
    goal = Goal.of(plan, space.metrics())  # raises InputError if the plan has a wrong goal
    elsewhere = names(place)
    new_path(place, name, space.file.stem, elsewhere)  # raises InputError if the name cannot be used
    return decide_compiled(plan, space), space, goal, elsewhere, place


def _train(setting: str | Path, space: Space, plan: Plan, goal: Goal, examine: bool) -> list[Report]:
    try:
        return train_once(space, plan, goal, console, examine)
    except (MemoryError, RuntimeError, ValueError) as error:
        raise FailedError(f"{setting}: {type(error).__name__}: {error}") from error


@with_options(parameters(OF_ARMS))
def arms(
    setting: str | Path,
    *,
    arms: str | Path | None = None,
    simplify: bool = False,
    name: str = "",
    out: str | Path = "runs",
    experiment: str | Path | None = None,
    **options: Any,
) -> StudyFolder:
    """Judge a fixed setting by its arms: the same setting with one named change each, on the same seeds.

    Args:
        setting: a setting without ranges: its TOML file, or the name of a shipped one.
        arms: a TOML file of arms (`study.evidence.arms.read_arms`). By default the standard ones: each term left out,
            each scheduled weight held constant, straight lines, fewer steps, fewer labels.
        simplify: accept changes one after another while nothing is worse, and confirm what is left on held-out seeds.
        name: the study's name; by default the setting's, numbered.
        out: the folder of studies, or a URL such as s3://bucket/prefix.
        experiment: a Python file that holds the experiment, if it is not installed. It is executed.
        options: seeds, seed, steps, objectives, constraints and what else of `study.Plan` matters to arms.

    Returns:
        A study of one trial, the setting as it is, whose `arms()` are the others.

    Raises:
        InputError: if the setting has ranges, or an arm does not fit it.
        FailedError: if a training fails.

    Example:
        ```python
        import study
        from study.evidence.verdicts import verdicts

        judged = study.arms("search_spaces/mine.toml", seeds=32)
        verdicts(judged.arms(), judged.metrics)
        ```
    """
    from study.cluster.connect import joined
    from study.driving_arms import drive_arms
    from study.evidence.arms import read_arms, standard

    plan, space, goal, elsewhere, place = _fixed(setting, Plan(**options, **ARMS), name, out, experiment)
    document = space.document()
    if arms:
        changes = read_arms(expanded(arms), document)
    else:
        changes = standard(document, getattr(space.setting(), "trained", {}))
    for arm in changes:
        try:
            space.validate(arm.change(document))
        except InputError as error:
            raise InputError(f"{arms or setting}: {arm.name}: {error}") from None
    if not changes:
        raise InputError(f"{setting}: found nothing that the standard arms change, expected --arms FILE.toml")
    with joined(plan.address, space.source.packages()):
        reports = _train(setting, space, plan, goal, False)
        folder = create_anew(space, plan, place, name, elsewhere)
        keep(reports, folder)
        drive_arms(folder, plan, changes, simplify)
    return folder


@with_options(parameters(OF_ARMS))
def path(
    study: StudyFolder | str | Path,
    *,
    start: str | Path | None = None,
    trial: int | None = None,
    name: str = "",
    out: str | Path = "runs",
    experiment: str | Path | None = None,
    **options: Any,
) -> StudyFolder:
    """Find out which change from a fixed setting to a study's best setting bought what, by training.

    Args:
        study: the study, its folder, or its URL.
        start: the fixed setting to begin at: its TOML file, or the name of a shipped one. By default the reference of
            the experiment that differs least from where the path ends.
        trial: the trial to end at. By default the confirmed answer or, if none is confirmed, the best.
        name: the new study's name; by default the fixed setting's, numbered.
        out: the folder of the new study, or a URL such as s3://bucket/prefix.
        experiment: a Python file that holds the experiment, if it is not installed. It is executed.
        options: seeds, seed, steps, objectives and what else of `study.Plan` matters. Objectives are those of the study
            by default.

    Returns:
        A study of one trial, the fixed setting. `path_settings()` has the settings from there to the trial.

    Raises:
        InputError: if there is no such setting or trial, they have other concepts, or they do not differ.
        FailedError: if a training fails.

    Example:
        ```python
        import study
        from study.evidence.paths import gains

        found = study.path("runs/mine-001", start="search_spaces/usual.toml", seeds=32)
        gains(found.path_settings(), found.goal.objectives[0], found.goal.first)
        ```
    """
    from study.cluster.connect import joined
    from study.driving_path import drive_path
    from study.evidence.paths import differences, ending, nearest_reference

    folder = opened(study, experiment)
    trial = ending(folder) if trial is None else trial
    target = folder.document(trial)
    begin = nearest_reference(folder, target) if start is None else start
    wanted = {**options, "objectives": options.get("objectives") or folder.goal.objectives}
    source = folder.source if folder.given else None
    plan, space, goal, elsewhere, place = _fixed(begin, Plan(**wanted, **ARMS), name, out, source)
    if (found := space.source.name) != (expected := folder.source.name):
        raise InputError(f"--from: {begin}: found the experiment {found}, expected the study's, {expected}")
    expect_concept(space, concept_of(folder.space), f"--from: {begin}")
    if plan.steps is not None:
        target = rescaled(target, plan.steps)
    if not differences(space.document(), target):
        raise InputError(f"--from: {begin}: found the setting of trial {trial} itself, expected another one")
    ends = {"from": space.file.stem, "to": f"trial {trial} of {folder.name}"}
    with joined(plan.address, space.source.packages()):
        reports = _train(begin, space, plan, goal, False)
        made = create_anew(space, plan, place, name, elsewhere, **ends)
        keep(reports, made)
        drive_path(made, plan, target)
    return made


@with_options(parameters(OF_ARMS))
def vary(
    setting: str | Path,
    *,
    factors: str = "init,data,labels",
    levels: int = 8,
    name: str = "",
    out: str | Path = "runs",
    experiment: str | Path | None = None,
    **options: Any,
) -> StudyFolder:
    """Find out what seed noise is made of: initial weights, samples or labels.

    A fixed setting is trained on every combination of the levels of these factors: 8 x 8 x 8 replicas.

    Args:
        setting: a setting without ranges: its TOML file, or the name of a shipped one.
        factors: the parts of a seed that vary apart. Parts joined by "+" vary together, as in "init,data+labels".
        levels: how many seeds each factor has.
        name: the study's name; by default the setting's, numbered.
        out: the folder of studies, or a URL such as s3://bucket/prefix.
        experiment: a Python file that holds the experiment, if it is not installed. It is executed.
        options: seed, steps, objectives and what else of `study.Plan` matters.

    Returns:
        A study of one trial, the setting as it is. `varied()` has the combinations.

    Raises:
        InputError: if the setting has ranges, or its experiment cannot vary the parts of a seed apart.
        FailedError: if a training fails.

    Example:
        ```python
        import study
        from study.evidence.components import components, factors_of

        found = study.vary("search_spaces/mine.toml", factors="init,data+labels", levels=16)
        components(found.varied(), factors_of("init,data+labels"), found.goal)
        ```
    """
    from study.cluster.connect import joined
    from study.driving_variance import drive_variance
    from study.evidence.components import factors_of

    of = factors_of(factors)
    if levels < 2 or levels ** len(of) > MOST_VARIED:
        most = int(MOST_VARIED ** (1 / len(of)))
        raise InputError(f"--levels: found {levels}, expected 2 to {most} for {len(of)} factors")
    plan, space, goal, elsewhere, place = _fixed(setting, Plan(**options, **ARMS), name, out, experiment)
    if getattr(space.experiment, "apart", None) is None:
        found = f"experiment {space.experiment.name} has no method `apart`"
        raise InputError(f"{setting}: {found}, expected one that varies the parts of a seed")
    with joined(plan.address, space.source.packages()):
        reports = _train(setting, space, plan, goal, False)
        folder = create_anew(space, plan, place, name, elsewhere, factors=factors)
        keep(reports, folder)
        drive_variance(folder, plan, of, levels)
    return folder
