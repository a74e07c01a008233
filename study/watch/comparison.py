"""Tables for the terminal: studies side by side, and a path from one setting to another."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from rich.markup import escape
from rich.table import Table

from study.evidence.comparing import at_work, is_ordered
from study.evidence.paths import gains
from study.evidence.ranking import mean_in_words
from study.record.folder import StudyFolder
from study.search.plan import Plan
from study.watch.live import format_figure, format_value
from study.watch.summary import styled


def searches(studies: Mapping[str, StudyFolder], progress: Mapping[str, pd.DataFrame]) -> Table:
    """What each search did, how good it was at the end, and how good after the work of the shortest."""
    metric = next(iter(studies.values())).goal.objectives[0]
    table = Table(title=f"Searches: the best {escape(metric)} so far", title_justify="left")
    shortest = min(int(of.work.iloc[-1]) for of in progress.values())
    columns = ("", "sampler", "scheduler", "complete", "seeds", "replica-steps", "at the end", f"after {shortest:,}")
    for column in columns:
        table.add_column(column, justify="right" if column else "left", overflow="fold")
    for name, folder in studies.items():
        plan, of = folder.plan(), progress[name]
        table.add_row(
            escape(name),
            plan.sampler,
            stopping_in_words(plan),
            f"{len(folder.complete())} of {len(folder.trials())}",
            str(len(folder.seeds())),
            f"{of.work.iloc[-1]:,}",
            best_in_words(of.iloc[-1]),
            best_in_words(at_work(of, shortest)),
        )
    table.caption = (
        f"{escape(order_in_words(studies))} ±: two standard errors over the trial's seeds, by which it was chosen."
    )
    return table


def stopping_in_words(plan: Plan) -> str:
    """What stops trials early, in words: the scheduler, and perhaps a race."""
    scheduler = [] if plan.races and plan.stopped_by == "none" else [plan.stopped_by]
    return ", ".join([*scheduler, *["race"] * plan.races])


def best_in_words(row: pd.Series | None) -> str:
    """The mean of a row of `best_so_far` with its band."""
    if row is None or pd.isna(row["mean"]):
        return "-"
    return format_figure(row["mean"]) + ("" if pd.isna(row.band) else f" ± {format_figure(row.band)}")


def order_in_words(studies: Mapping[str, StudyFolder]) -> str:
    """How the order of trials is known, in a sentence."""
    without = [name for name, folder in studies.items() if not is_ordered(folder)]
    if not without:
        return "Trials are in the order in which they ended."
    if len(without) == len(studies):
        return "Trials are in the order of their numbers, since there is no journal to say in which they ended."
    return (
        "Trials are in the order in which they ended; without a journal, in "
        f"{' and '.join(without)}, in the order of their numbers."
    )


def answers(studies: Mapping[str, StudyFolder], found: pd.DataFrame) -> Table:
    """The confirmed answers, and how each differs from the first one."""
    first = next(iter(studies))
    metric = studies[first].goal.objectives[0]
    table = Table(title=f"Confirmed answers: {escape(metric)} on held-out seeds", title_justify="left")
    constrained = any(folder.goal.constraints for folder in studies.values())
    columns = ("", "answer", "seeds", "mean [95%]", "worst", "failed", *(["constraints"] * constrained))
    for column in (*columns, f"from {first}"):
        table.add_column(escape(column), justify="right" if column else "left", overflow="fold")
    for _, row in found.iterrows():
        name = str(row.study)
        if pd.isna(row.trial):
            table.add_row(escape(name), "not confirmed", *[""] * (len(columns) - 1))
            continue
        apart = "" if pd.isna(row.difference) else styled(row.verdict, difference_in_words(row))
        cells = (row.setting, f"{row.seeds:.0f}", mean_in_words(row), format_figure(row["min"]), f"{row.failures:.0%}")
        table.add_row(escape(name), *map(escape, cells), *([escape(kept_in_words(row))] * constrained), apart)
    kept = " Constraints: each study's own, with margins in bands of seed noise." * constrained
    table.caption = escape(f"{pairing_in_words(found)}{kept}".strip())
    return table


def difference_in_words(row: pd.Series) -> str:
    """The difference of a row of `answers` from the first study, with its interval and its verdict."""
    return f"{row['difference']:+.4f} ({row.low:+.4f} to {row.high:+.4f}) {row.verdict}"


def kept_in_words(row: pd.Series) -> str:
    """Whether a row of `answers` keeps its study's constraints, and by how many bands."""
    if pd.isna(row.feasible):
        return "none"
    return ("kept" if row.feasible else f"broken: {row.binds}") + ("" if pd.isna(row.margin) else f" {row.margin:+.1f}")


def pairing_in_words(found: pd.DataFrame) -> str:
    """How differences are taken, in sentences. Empty without any."""
    paired = found.paired.dropna()
    unpaired = found.study[found.paired == 0].tolist()
    counts = ", ".join(f"{n:.0f}" for n in dict.fromkeys(paired[paired > 0]))
    texts = [f"Differences are taken seed by seed, on {counts} common seeds, with 95% t intervals."] if counts else []
    if unpaired:
        names = " and ".join(unpaired)
        texts.append(f"For {names} they are not, for lack of common seeds (Welch's 95% interval).")
    return " ".join(texts)


def parameters(unequal: pd.DataFrame) -> Table:
    """The parameters in which the answers differ."""
    table = Table(title="Parameters in which the answers differ", title_justify="left")
    for column in ("", *unequal.columns):
        table.add_column(escape(column), justify="right" if column else "left", overflow="fold")
    for name, row in unequal.iterrows():
        table.add_row(escape(str(name)), *("-" if pd.isna(cell) else escape(format_value(cell)) for cell in row))
    table.caption = "-: the study's space has no such parameter"
    return table


def path(folder: StudyFolder) -> Table:
    """What each change on the path from a study's setting to another one bought."""
    rows, goal, manifest = folder.path_settings(), folder.goal, folder.manifest()
    metric = goal.objectives[0]
    found = gains(rows, metric, goal.first)
    title = f"From {manifest['from']} to {manifest['to']}, on {rows.seed.nunique()} held-out seeds"
    table = Table(title=escape(title), title_justify="left")
    for column in ("change", metric, "worst", "gain ± band", "95%", ""):
        table.add_column(escape(column), justify="left" if column == "change" else "right", overflow="fold")
    start = rows[rows.setting == rows.setting.iloc[0]]
    scores = goal.scores(start)
    ends = [format_figure(goal.sign * of) for of in (scores.mean(), scores.min())]
    table.add_row(escape(manifest["from"]), *ends, "", "", "")
    table.add_section()
    for place, (_, row) in enumerate(found.iterrows(), start=1):
        interval = f"{row.low:+.4f} to {row.high:+.4f}"
        gain = f"{row['difference']:+.4f} ± {row.band:.4f}"
        figures = (
            format_figure(row["mean"]),
            format_figure(row.worst),
            gain,
            interval,
            styled(row.verdict, row.verdict),
        )
        table.add_row(escape(row.change), *figures, end_section=place == len(found) - 1)
    table.caption = (
        "Each change is made on top of those above it. Gains are differences seed by seed, and add up to the last row. "
        "The order was found on other seeds, where each of these changes helped most in its turn."
    )
    return table
