"""What a notebook or a script calls: run, resume, confirm, train and report. The command line calls these, too.

Each shows its progress (on a terminal, in a notebook, as lines in a log) and returns the study. `console.quiet = True`
of `study.watch.screen` silences them. A study starts a Ray of its own on this machine and ends it; a Ray that the
process is connected to already is used and left running.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from anchoring.errors import InputError
from study.driving import confirm_on, drive, mirrored, paged, train_again, writing
from study.evidence.comparing import expect_comparable
from study.evidence.ranking import ranking
from study.record import lock
from study.record.budget import minutes_used
from study.record.folder import PRIOR, StudyFolder
from study.record.loading import load, opened
from study.record.manifest import (
    Listed,
    compared_spaces,
    create_anew,
    expect_same_experiment,
    expect_same_list,
    expect_same_search,
)
from study.record.mirror import fetch, names, working_folder
from study.record.writer import new_path
from study.search import known, points
from study.search.compiling import decide_compiled
from study.search.examination import expect_examination
from study.search.goal import Goal
from study.search.interrupt import interruptible, interrupts_restored
from study.search.plan import (
    ALWAYS_SURVEYED,
    HELD_OUT,
    MAY_CHANGE,
    MOST_HELD_OUT,
    SURVEY,
    SURVEYED,
    Plan,
    parameters,
    with_options,
)
from study.search.rehearsal import rehearse
from study.search.samplers import sampler
from study.space.space import Space
from study.surroundings import expanded
from study.watch import summary
from study.watch.screen import console


@with_options(parameters())
def run(
    space: str | Path,
    *,
    start: Sequence[str | Path] = (),
    learn_from: Sequence[str | Path] = (),
    name: str = "",
    out: str | Path = "runs",
    experiment: str | Path | None = None,
    changed_experiment: bool = False,
    **options: Any,
) -> StudyFolder:
    """Search a space for the settings that isolate a concept best, confirm them on held-out seeds, and write a report.

    A study of this name that searches the same space the same way is continued, if more is asked of it.

    Args:
        space: a search space: its TOML file, or the name of a shipped one.
        start: settings to try first: a fixed setting's TOML file, a study (its leading trial), or `STUDY:TRIAL`.
        learn_from: studies whose trials the sampler knows from the beginning, where parameters have the same names.
            Their ranges need not be equal.
        name: the study's name; by default the space's, numbered.
        out: the folder of studies, or a URL such as s3://bucket/prefix.
        experiment: a Python file that holds the experiment, if it is not installed. It is executed.
        changed_experiment: go on although the experiment's code has changed since the study began.
        options: the fields of `study.Plan`.

    Returns:
        The study: what is on disk, to be read. Nothing is lost if this is interrupted; `resume` goes on.

    Raises:
        InputError: if what is asked cannot be done, before anything is written.
        FailedError: if the search is interrupted, finds no answer, or cannot be written.

    Example:
        ```python
        import study

        found = study.run("search_spaces/mine.toml", trials=20, seeds=8)
        found.answer()  # the best confirmed setting
        ```
    """
    plan = Plan(**options)
    wanted = _searchable(space, plan, experiment)
    place, learnt, listed = working_folder(out), None, None
    if learn_from:
        goal = Goal.of(plan, wanted.metrics())
        learnt = known.prior(wanted, goal, [str(name) for name in learn_from], place)
        sampler(plan.but(objectives=goal.objectives), 0, known.as_trials(learnt, wanted, plan.seed))
    if start:
        listed = points.STARTED, [known.point_of(wanted, str(first), place) for first in start]
    elif (size := points.settings_in(wanted)) and (plan.trials is None or plan.trials >= size):
        console.print(f"{wanted.file}: the space has {size} settings, and each is trained to the end", highlight=False)
        plan = plan.but(trials=size, scheduler="none")
        listed = points.GRID, points.grid(wanted, plan.seed)
    return _begin(wanted, plan, name, out, experiment, changed_experiment, listed, learnt)


@with_options(parameters(SURVEYED, **SURVEY))
def survey(
    space: str | Path,
    *,
    listed: str | Path | None = None,
    name: str = "",
    out: str | Path = "runs",
    experiment: str | Path | None = None,
    changed_experiment: bool = False,
    **options: Any,
) -> StudyFolder:
    """Map a space: train a list of settings that is fixed beforehand, stop none, and promote the best to more seeds.

    Args:
        space: a search space: its TOML file, or the name of a shipped one.
        listed: a CSV of settings, as `study survey --plan` writes it. By default the settings are points of a scrambled
            Sobol' sequence (`survey_points`).
        name: the study's name; by default the space's, numbered.
        out: the folder of studies, or a URL such as s3://bucket/prefix.
        experiment: a Python file that holds the experiment, if it is not installed. It is executed.
        changed_experiment: go on although the experiment's code has changed since the study began.
        options: the fields of `study.Plan` that matter to a survey.

    Returns:
        The study, to be read. `resume` goes on with it.

    Raises:
        InputError: if what is asked cannot be done, before anything is written.
        FailedError: if the survey is interrupted, finds no answer, or cannot be written.

    Example:
        ```python
        import study

        study.survey("search_spaces/mine.toml", trials=64, seeds=4, promote=["16:8", "4:64"])
        ```
    """
    plan = Plan(**SURVEY | options | ALWAYS_SURVEYED)
    wanted = _searchable(space, plan, experiment)
    if listed is None:
        origin, settings = points.SOBOL, points.sobol(wanted, plan.trials or 0, plan.seed)
    else:
        origin, settings = points.LISTED, points.read(expanded(listed), wanted)
        plan = plan.but(trials=len(settings))
    return _begin(wanted, plan, name, out, experiment, changed_experiment, (origin, settings))


def survey_points(
    space: str | Path, trials: int = SURVEY["trials"], seed: int = 0, experiment: str | Path | None = None
) -> str:
    """The settings that `survey` would train, as CSV: a column for each parameter, a row for each setting.

    Args:
        space: a search space: its TOML file, or the name of a shipped one.
        trials: how many settings.
        seed: fixes the sequence.
        experiment: a Python file that holds the experiment, if it is not installed. It is executed.

    Returns:
        The CSV's text.

    Raises:
        InputError: if the space cannot be read, or has no ranges.

    Examples:
        >>> survey_points("search_spaces/deletion.toml", trials=2).count(chr(10))  # a header and two settings
        3
    """
    plan = Plan(trials=trials, seed=seed)
    wanted = _searchable(space, plan, experiment)
    return points.as_csv(points.sobol(wanted, trials, seed), wanted)


def _searchable(space: str | Path, plan: Plan, experiment: str | Path | None) -> Space:
    wanted = Space.read(space, plan.steps, experiment)
    if not wanted.distributions:
        raise InputError(f"{space}: found no range, expected one to search (`study train` trains a fixed setting)")
    return wanted


def _begin(
    wanted: Space,
    plan: Plan,
    name: str,
    out: str | Path,
    experiment: str | Path | None,
    changed_experiment: bool,
    listed: Listed = None,
    learnt: pd.DataFrame | None = None,
) -> StudyFolder:
    """Begin a study, or go on with the one of this name, and drive it to its end."""
    from study.cluster.connect import expect_start, joined

    place = working_folder(out)
    plan = plan.but(objectives=Goal.of(plan, wanted.metrics()).objectives)
    compared_spaces(wanted, plan)  # raises InputError if a constraint refers to a setting that does not fit
    sampler(plan, 0)  # raises InputError if it cannot do what is asked
    if wanted.source.file:
        rehearse(wanted)
    with joined(plan.address, wanted.source.packages()):
        elsewhere = names(place)
        if name in elsewhere:
            fetch(place / name)
        goes_on = bool(name) and (place / name).exists()
        if goes_on:
            folder = load(place / name, experiment and wanted.source)
            expect_same_search(folder, wanted, plan)
            if learnt is not None and folder.prior().empty:
                raise InputError(
                    f"--learn-from: {folder.path}: found a study that learns from none, expected a new name"
                )
            expect_same_list(folder, listed)
            more = plan.minutes and minutes_used(folder) + plan.minutes
            plan = plan.but(compiled=bool(folder.plan().compiled), minutes=more)
        else:
            plan = decide_compiled(plan, wanted)
            new_path(place, name, wanted.file.stem, elsewhere)  # raises InputError if the name cannot be used
        expect_start(plan)
        if not goes_on:
            files = {} if learnt is None else {PRIOR: learnt.to_parquet(index=False)}
            folder = create_anew(wanted, plan, place, name, elsewhere, listed, files)
        drive(folder, plan, goes_on, changed_experiment)
    return folder


@with_options(parameters(MAY_CHANGE, as_before=True))
def resume(
    study: StudyFolder | str | Path,
    *,
    experiment: str | Path | None = None,
    changed_experiment: bool = False,
    **options: Any,
) -> StudyFolder:
    """Go on with a study that was interrupted, or that is to have more trials. No trial that has ended is repeated.

    Args:
        study: the study, its folder, or its URL.
        experiment: a Python file that holds the experiment, if it is not installed. It is executed.
        changed_experiment: go on although the experiment's code has changed since the study began.
        options: those of `run` that may change. By default they are as before, except `address`. `trials` counts those
            that have ended, too; `minutes` are more minutes.

    Returns:
        The study.

    Raises:
        InputError: if the study cannot be continued so.
        FailedError: as `run` does.
    """
    from study.cluster.connect import joined

    folder = opened(study, experiment)
    before, trials, minutes = folder.plan(), options.get("trials"), options.get("minutes")
    if trials is not None and trials < (done := len(folder.trials())):
        raise InputError(f"{folder.path}: has {done} trials, expected more (--trials)")
    if trials is None and minutes is None:
        budget = {"trials": before.trials, "minutes": before.minutes}
    else:
        budget = {"trials": trials, "minutes": minutes and minutes_used(folder) + minutes}
    kept = before.but(**{name: value for name, value in options.items() if name not in budget})
    plan = Plan(**dict(kept) | {"address": options.get("address")} | budget)
    _ = folder.experiment  # raises InputError if it is not here
    folder.space.check()
    with joined(plan.address, folder.source.packages()):
        drive(folder, plan, True, changed_experiment)
    return folder


def confirm(
    study: StudyFolder | str | Path,
    *,
    top: int = 3,
    seeds: int = HELD_OUT,
    against: Sequence[str | Path] | None = None,
    examine: bool = False,
    leave_one_out: bool = False,
    cpus: int = 0,
    address: str | None = None,
    experiment: str | Path | None = None,
    changed_experiment: bool = False,
) -> StudyFolder:
    """Train a study's best settings again on held-out seeds, beside the settings to compare them with.

    Args:
        study: the study, its folder, or its URL.
        top: how many of the best settings.
        seeds: how many seeds that no search has seen.
        against: fixed settings to compare with; by default the references of the experiment.
        examine: measure the experiment's dearer metrics, too.
        leave_one_out: train the best of them without each of its terms, too.
        cpus: trainings at a time; 0 is every CPU.
        address: a Ray cluster that this machine is a node of: auto, or its head's host:port.
        experiment: a Python file that holds the experiment, if it is not installed. It is executed.
        changed_experiment: go on although the experiment's code has changed since the study began.

    Returns:
        The study, whose `confirmation()` and `answer()` are new.

    Raises:
        InputError: if there is nothing to confirm, or a setting to compare with does not fit the study.
        FailedError: if a training fails.
    """
    from study.cluster.connect import cluster, expect_start, joined
    from study.evidence import confirmation

    if top < 0:
        raise InputError(f"--top: found {top}, expected 0 or more")
    if not 2 <= seeds <= MOST_HELD_OUT:
        raise InputError(f"--seeds: found {seeds}, expected 2 to {MOST_HELD_OUT:,}")
    folder = opened(study, experiment)
    _ = folder.experiment  # raises InputError if it is not here
    if folder.complete().empty:
        raise InputError(f"{folder.path}: found no complete trial, expected at least one to confirm")
    if examine:
        expect_examination(folder.experiment)
    chosen = confirmation.candidates(folder, top, seeds, None if against is None else [Path(file) for file in against])
    plan = Plan(**dict(folder.plan()) | {"cpus": cpus, "address": address})
    connected = joined(address, folder.source.packages())
    with interrupts_restored(), connected, lock.driving(folder.path), mirrored(folder), interruptible():
        expect_start(plan)
        expect_same_experiment(folder, changed_experiment)
        with ExitStack() as report, cluster(plan.workers, address, preload=folder.source.modules):
            confirm_on(folder, chosen, seeds, examine)
            if leave_one_out:
                for trial in ranking(folder.confirmation(), folder).trial.dropna().head(1):
                    without = confirmation.leave_one_out(folder, int(trial))
                    train_again(folder, without, plan.held_out_seeds(seeds), "leave-one-out.parquet")
                    console.print(summary.worths(folder))
            report.enter_context(writing(folder))
    return folder


def report(
    study: StudyFolder | str | Path,
    *,
    notebook: str = "",
    figures: Path | None = None,
    experiment: str | Path | None = None,
) -> Path:
    """Execute a notebook, the report's or another, on a study and write it as HTML into the study's folder.

    Args:
        study: the study, its folder, or its URL.
        notebook: report, map, arms, variance, path, early-stopping, controls, experiment, or a notebook's file. By
            default the page of its kind: `map` for a survey, `arms`, `variance` and `path` for theirs, else `report`.
        figures: a folder that gets the figures, too, each as SVG and PDF.
        experiment: a Python file that holds the experiment, if it is not installed. It is executed.

    Returns:
        The page's file.

    Raises:
        InputError: if there is nothing to report, or no such notebook.
        FailedError: if the notebook cannot be executed.
    """
    folder = opened(study, experiment)
    with interrupts_restored(), mirrored(folder), interruptible(), writing(folder, notebook, figures) as page:
        pass
    return page.result()


def compare(
    studies: Sequence[StudyFolder | str | Path],
    *,
    to: str | Path = "comparison.html",
    figures: Path | None = None,
    experiment: str | Path | None = None,
) -> Path:
    """Compare studies: the best so far over work with bands of seed noise, and the confirmed answers side by side.

    Args:
        studies: two or more studies, their folders or their URLs. The answers of the others are compared with the
            first one's. They need the same experiment, concept and first objective.
        to: the page's file.
        figures: a folder that gets the figures, too, each as SVG and PDF.
        experiment: a Python file that holds the experiment, if it is not installed. It is executed.

    Returns:
        The page's file. `study.evidence.comparing` has the tables.

    Raises:
        InputError: if the studies cannot be compared, or the page cannot be put there.
        FailedError: if the notebook cannot be executed.

    Example:
        ```python
        import study

        study.compare(["runs/mine-001", "runs/mine-002"], to="comparison.html")
        ```
    """
    from study.watch.report import write_comparison

    folders, file = [opened(each, experiment) for each in studies], expanded(to)
    if len(folders) < 2:
        raise InputError(f"studies: found {len(folders)}, expected two or more to compare")
    expect_comparable(folders)
    if file.suffix != ".html" or file.is_dir() or not file.parent.is_dir():
        raise InputError(
            f"--to: found {str(file)!r}, expected a file such as comparison.html in a folder that is there"
        )
    with interrupts_restored(), interruptible(), paged(partial(write_comparison, folders, file, figures)) as page:
        pass
    return page.result()
