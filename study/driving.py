"""How a study is driven: held, searched, confirmed, reported, and uploaded if it has a URL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from anchoring.errors import FailedError
from study import private
from study.record import lock
from study.record.budget import minutes_used
from study.record.folder import StudyFolder
from study.record.manifest import expect_same_experiment, extend, grow_list
from study.record.mirror import Mirror, url_of
from study.record.recorder import Listener
from study.record.writer import Writer
from study.search.interrupt import Terminated, interruptible, interrupts_restored, until_interrupted
from study.search.plan import Plan
from study.watch import summary
from study.watch.live import StudyView
from study.watch.screen import console
from study.watch.tensorboard import Curves
from study.watch.tracking import Tracker

if TYPE_CHECKING:
    import pandas as pd

    from study.evidence.confirmation import Candidate


def drive(folder: StudyFolder, plan: Plan, known: bool, changed: bool) -> None:
    """Hold a study, run its trials, confirm its best and report. Raises FailedError if something cannot be written."""
    from study.cluster.connect import expect_start

    try:
        with interrupts_restored(), lock.driving(folder.path), interruptible():
            expect_start(plan)
            if known:
                expect_same_experiment(folder, changed)
                grow_list(folder, plan)
                extend(folder, plan)
            with mirrored(folder) as mirrors, Tracker(folder, console, plan.wandb) as tracker:
                listeners: list[Listener] = [tracker, *mirrors, *([Curves(folder)] if plan.tensorboard else [])]
                _search(folder, plan, listeners)
    except OSError as error:
        then = f"`study resume {folder.quoted}` goes on" if folder.path.is_dir() else "the study's folder is gone"
        raise FailedError(f"{error.filename or folder.path}: {error.strerror or error}; {then}") from None


def _search(folder: StudyFolder, plan: Plan, listeners: list[Listener]) -> None:
    """Run a study's trials, confirm its best, write the report, and print what came of it."""
    from study.cluster.connect import cluster

    interrupted: list[type[KeyboardInterrupt]] = []
    budget = f"{plan.minutes:g} minutes" if plan.trials is None else f"{plan.trials} trials"
    try:
        # the report is begun while the study is confirmed, and written while Ray ends
        with ExitStack() as report, cluster(plan.workers, plan.address, preload=folder.source.modules) as where:
            from study.search.run import run  # Ray Tune, which is imported while the workers import PyTorch

            if plan.address is None:
                private.share_workers()

            manifest = folder.manifest()
            Writer(folder.path).write_manifest({**manifest, "cluster": where})
            folder = with_references(folder, plan)
            past, best = len(folder.trials()), folder.best()
            row = {str(key): value for key, value in best.iloc[0].items()} if len(best) else None
            at_once = plan.at_once or f"on {where['cpus']} CPUs of {where['nodes']} nodes, as many"
            seeds = " to ".join(str(n) for n in dict.fromkeys([len(plan.heats[0]), plan.seeds]))
            title = f"{folder.path}: {budget} of {manifest['space']}, {seeds} seeds each, {at_once} at a time"
            with (
                until_interrupted(interrupted),
                StudyView(console, title, plan, folder.goal, past, row, minutes_used(folder)) as view,
            ):
                run(plan, folder, [view, *listeners])
            if not folder.complete().empty:
                confirmed = Future[None]()
                if plan.report and Terminated not in interrupted:  # a report takes longer than a scheduler waits
                    report.enter_context(writing(folder, confirmed=confirmed))
                    report.callback(confirmed.cancel)
                with until_interrupted(interrupted):
                    if plan.rounds and not interrupted:
                        promote_on(folder, plan)
                if Terminated not in interrupted:
                    confirmed.set_result(None)
                console.print(summary.best_settings(folder))
                if folder.best().empty:
                    console.print(summary.none_keeps(folder), highlight=False, markup=False)
    except KeyboardInterrupt as ending:
        interrupted.append(type(ending))
    if interrupted:
        kept = f"interrupted after {len(folder.trials())} trials, which are kept"
        raise FailedError(f"{folder.path}: {kept}; `study resume {folder.quoted}` goes on")
    if folder.complete().empty:
        raise FailedError(f"{folder.path}: found no complete trial; `study show {folder.quoted} TRIAL` says why")


def with_references(folder: StudyFolder, plan: Plan) -> StudyFolder:
    """Train the settings that relative constraints refer to on the seeds of the search, unless that was done before.

    Returns the study, whose goal knows them.
    """
    from study.evidence.confirmation import compared_with

    missing = folder.goal.compared_with.keys() - folder.goal.references.keys()
    if missing:
        train_again(folder, compared_with(folder, len(plan.replica_seeds)), plan.replica_seeds, "references.parquet")
        folder = replace(folder)  # which reads its goal anew
    return folder


def promote_on(folder: StudyFolder, plan: Plan) -> None:
    """Train a study's best on the seeds of each round, and of its confirmation, on the Ray at hand.

    A round of the same trials on the same seeds is not repeated.
    """
    from study.evidence.confirmation import candidates, promoted

    *before, (top, held_out) = plan.rounds
    for stale in [file for file in folder.path.glob("round-*.parquet") if int(file.stem[6:]) > len(before)]:
        stale.unlink()
    for number, (most, n) in enumerate(before, start=1):
        seeds, chosen = plan.round_seeds(number, n), promoted(folder, number, most)
        if not _is_of(folder.round(number), chosen, seeds):
            train_again(folder, chosen, seeds, f"round-{number}.parquet")
    confirm_on(folder, candidates(folder, top, held_out), held_out)


def _is_of(rows: pd.DataFrame, chosen: list[Candidate], seeds: list[int]) -> bool:
    """Whether rows are of these settings on these seeds."""
    return set(rows.setting) == {candidate.name for candidate in chosen} and set(rows.seed) == set(seeds)


def confirm_on(folder: StudyFolder, chosen: list[Candidate], seeds: int, examine: bool = False) -> None:
    """Train settings on held-out seeds, on the Ray at hand, and print how they did."""
    train_again(folder, chosen, folder.plan().held_out_seeds(seeds), "confirmation.parquet", examine)
    console.print(summary.confirmed(folder))


def train_again(
    folder: StudyFolder, chosen: list[Candidate], seeds: list[int], file: str, examine: bool = False
) -> None:
    """Train settings on seeds, on the Ray at hand, and write their rows to one of the folder's files."""
    Writer(folder.path).write(file, train_on(folder, chosen, seeds, examine).to_parquet(index=False))


def train_on(folder: StudyFolder, chosen: list[Candidate], seeds: list[int], examine: bool = False) -> pd.DataFrame:
    """Train settings on seeds, on the Ray at hand, and return their rows."""
    from study.evidence.confirmation import trained

    with console.progress(f"training {_count(chosen)} on {len(seeds)} seeds", unit="parts") as update:
        return trained(chosen, folder, seeds, lambda done, of: update(completed=done, total=of), examine)


def _count(chosen: list[Candidate]) -> str:
    return chosen[0].name if len(chosen) == 1 else f"{len(chosen)} settings"


@contextmanager
def writing(
    folder: StudyFolder, notebook: str = "", figures: Path | None = None, confirmed: Future[None] | None = None
) -> Iterator[Future[Path]]:
    """A context in which a study's report, or another notebook's page, is written. Its end says where the page is.

    If `confirmed` is still to come, the report waits for it. If it is cancelled, there is no report.
    """
    from study.watch.report import write_report

    with suppress(CancelledError), paged(partial(write_report, folder, notebook, figures, confirmed=confirmed)) as page:
        yield page


@contextmanager
def paged(write: Callable[[], Path]) -> Iterator[Future[Path]]:
    """A context in which a page is written. Its end says where the page is."""
    # on a thread of its own, since a notebook's kernel has an event loop, and Ctrl-C is for this one
    with ThreadPoolExecutor(1) as aside:
        page = aside.submit(write)
        yield page
        with console.progress("writing the report"):
            wait([page])
    console.print(f"report: {page.result()}", soft_wrap=True, highlight=False, markup=False)


@contextmanager
def held(folder: StudyFolder, plan: Plan, interrupted: str) -> Iterator[None]:
    """A context in which a study's only setting is trained again on Ray, with a report at its end.

    `interrupted` says what an interruption leaves. Raises FailedError then, or if something cannot be written.
    """
    from study.cluster.connect import cluster, expect_start

    expect_start(plan)
    try:
        with (
            interrupts_restored(),
            lock.driving(folder.path),
            interruptible(),
            mirrored(folder),
            ExitStack() as report,
            cluster(plan.workers, plan.address, preload=folder.source.modules),
        ):
            yield
            report.enter_context(writing(folder))  # while Ray ends
    except KeyboardInterrupt:
        raise FailedError(f"{folder.path}: interrupted; {interrupted}") from None
    except OSError as error:
        raise FailedError(f"{error.filename or folder.path}: {error.strerror or error}") from None


@contextmanager
def mirrored(folder: StudyFolder) -> Iterator[list[Mirror]]:
    """Upload what is done to a study to its URL, if it has one; yields the listener that does."""
    url = url_of(folder.path.parent)
    if url is None:
        yield []
        return
    with Mirror(folder, url, console) as mirror:
        yield [mirror]
    if mirror.failed:
        kept = f"the study is in {folder.path}, and `study report {folder.quoted}` tries again"
        raise FailedError(f"{mirror.url}: could not be uploaded ({mirror.failed}); {kept}")
