"""What `study run` and `resume` do once they know what is asked: hold the study, search, confirm and report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from anchoring.errors import FailedError
from study.cli.options import console, mirrored, report_on
from study.watch.tracking import Tracked

if TYPE_CHECKING:
    from study.record.folder import StudyFolder
    from study.record.recorder import Listener
    from study.registry import Source
    from study.search.plan import Plan


def join(address: str | None, source: Source) -> None:
    """Connect to a cluster, if one is asked for, before anything is written."""
    if address is not None:
        from study.cluster.connect import join as connect

        connect(address, source.packages())


@contextmanager
def driving(folder: StudyFolder, plan: Plan, known: bool, changed: bool) -> Iterator[None]:
    """Hold a study, new or known, to work on by a plan. Raises FailedError, in one line, if it cannot be written."""
    from study.record.lock import driving as holding
    from study.search.interrupt import interruptible
    from study.search.plan import expect_same_experiment, extend

    try:
        with holding(folder.path), interruptible():
            if known:
                expect_same_experiment(folder, changed)
                extend(folder, plan)
            yield
    except OSError as error:
        then = f"`study resume {folder.path}` goes on" if folder.path.is_dir() else "the study's folder is gone"
        raise FailedError(f"{error.filename or folder.path}: {error.strerror or error}; {then}") from None


@contextmanager
def listeners(folder: StudyFolder, tracked: Tracked, tensorboard: bool) -> Iterator[list[Listener]]:
    """Who is to hear of a study's trials and, on leaving, of what came of it."""
    from study.watch.tracking import Tracker

    with mirrored(folder) as mirrors, Tracker(folder, console, tracked) as tracker:
        heard: list[Listener] = [tracker, *mirrors]
        if tensorboard:
            from study.watch.tensorboard import Curves

            heard.append(Curves(folder))
        yield heard


def search(folder: StudyFolder, plan: Plan, top: int, heard: list[Listener]) -> None:
    """Run a study's trials, confirm its best, write the report, and print what came of it."""
    from study.cli.confirm import HELD_OUT, confirm_on
    from study.cluster.connect import cluster
    from study.evidence.confirmation import candidates
    from study.record.writer import Writer
    from study.search.run import run as run_trials
    from study.watch import summary
    from study.watch.live import StudyView

    interrupted = False
    past, best = len(folder.trials()), folder.best()
    row = {str(key): value for key, value in best.iloc[0].items()} if len(best) else None
    budget = f"{plan.minutes:g} minutes" if plan.trials is None else f"{plan.trials} trials"
    try:
        with cluster(plan.workers, plan.address, folder.source.packages()) as where:
            Writer(folder.path).write_manifest({**folder.manifest(), "cluster": where})
            at_once = plan.at_once or f"on {where['cpus']} CPUs of {where['nodes']} nodes, as many"
            of = folder.manifest()["space"]
            title = f"{folder.path}: {budget} of {of}, {plan.seeds} seeds each, {at_once} at a time"
            with StudyView(console, title, plan, folder.goal, past, row) as view:
                run_trials(plan, folder, [view, *heard])
            if top and not folder.best().empty:
                confirm_on(folder, candidates(folder, top, HELD_OUT), HELD_OUT)
    except KeyboardInterrupt:
        interrupted = True
        console.print("interrupted: once more (Ctrl-C) leaves at once")
    if not folder.best().empty:
        console.print(summary.best_settings(folder))
        report_on(folder)
    if interrupted:
        kept = f"interrupted after {len(folder.trials())} trials, which are kept"
        raise FailedError(f"{folder.path}: {kept}; `study resume {folder.path}` goes on")
    if folder.best().empty:
        raise FailedError(f"{folder.path}: found no {folder.goal.answer}; `study show {folder.path} TRIAL` says why")
