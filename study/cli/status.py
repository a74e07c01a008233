"""`study status`: how a study stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from study.cli.options import Json, Out, StudyName, app, open_folder, print_answer

if TYPE_CHECKING:
    from study.record.folder import StudyFolder
    from study.watch.status import Status


@app.command(epilog="Example: study status mine-001")
def status(study: StudyName, as_json: Json = False, out: Out = "runs") -> None:
    """Print how a study stands: how far it is, what is best so far, how long is left, and what to do next."""
    from study.watch.status import status as standing

    folder = open_folder(study, out)
    now = standing(folder)
    print_answer(vars(now), _table(now, folder))


def _table(now: Status, folder: StudyFolder) -> Table:
    from study.evidence.ranking import mean_in_words
    from study.watch.live import best_text, clock
    from study.watch.summary import none_keeps

    table = Table(box=None, show_header=False, padding=(0, 1))
    left = "" if now.seconds_left is None else f", about {clock(now.seconds_left)} left"
    table.add_row("study", escape(f"{now.study}: {now.state}{left}"))
    counts = {**now.trials, "running": now.running}
    ended = sum(now.trials.values())
    done = f"{ended} trials" if now.planned is None else f"{ended}/{now.planned} trials"
    table.add_row("trials", ": ".join([done, *([_listed(counts)] if any(counts.values()) else [])]))
    none = "none is complete yet" if now.nearest is None else escape(none_keeps(folder))
    table.add_row("best", none if now.best is None else best_text(now.best, folder.goal))
    if now.confirmation is None:
        table.add_row("confirmed", "no")
    else:
        first = now.confirmation.iloc[0]
        table.add_row("confirmed", escape(f"{first.setting} is best on held-out seeds, {mean_in_words(first)}"))
    if now.report:
        table.add_row("report", escape(str(now.report)))
    table.add_row("next", escape(now.next))
    return table


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in counts.items() if count)
