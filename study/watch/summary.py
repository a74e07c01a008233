"""Tables for the terminal: the results of a study, the metrics of a training, and the schedule of a trial."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping

import numpy as np
import optuna
import pandas as pd
from rich.markup import escape
from rich.table import Table

from anchoring.dopesheet import Dopesheet
from study.evidence.components import components, factors_of
from study.evidence.leading import leading
from study.evidence.ranking import mean_in_words, ranking, reference
from study.evidence.ranking import worths as ranked_worths
from study.evidence.verdicts import BETTER, WORSE, by_chance, verdicts
from study.experiment import Metric
from study.record.folder import StudyFolder
from study.record.tables import STATISTICS, metric_names, summarise
from study.watch.live import format_figure, format_value

ENOUGH = 10  # complete trials needed to say which parameters matter


def best_settings(folder: StudyFolder, n: int = 3) -> Table:
    """The n leading settings side by side: the objective, two more metrics, and the parameters by importance."""
    best = leading(folder, n)
    which = "best" if "binds" not in best else "nearest"
    title = f"The {which} {'setting' if len(best) == 1 else f'{len(best)} settings'} of {escape(folder.name)}"
    table = Table(title=title, title_justify="left")
    table.add_column("", overflow="fold")
    table.add_column("importance", justify="right", min_width=10)
    for trial in best.trial:
        table.add_column(f"trial {trial}", justify="right", min_width=13)
    objective = folder.goal.objectives[0]
    others = [name for name, metric in folder.metrics.items() if name != objective and not metric.examined]
    for name in (objective, *others[:2]):
        spread = zip(best[f"{name}.mean"], best[f"{name}.sd"], strict=True)
        table.add_row(name, "", *(f"{format_figure(mean)} ± {format_figure(sd)}" for mean, sd in spread))
    table.add_row("worst seed", "", *(format_figure(value) for value in _worst(folder, best)), end_section=True)
    if "binds" in best:
        table.add_row("misses", "", *map(escape, best.binds))
        table.add_row("by", "", *(missed_text(row) for _, row in best.iterrows()), end_section=True)
    weights = importances(folder)
    for name in weights or folder.space.distributions:
        values = [format_value(value) for value in best[f"param.{name}"].tolist()]
        table.add_row(escape(name), f"{weights[name]:.0%}" if weights else "", *values)
    share = "a parameter's share of what separates good complete trials from the rest (PED-ANOVA)"
    table.caption = "importance: " + (share if weights else f"unknown, with fewer than {ENOUGH} complete trials")
    return table


def none_keeps(folder: StudyFolder) -> str:
    """A sentence: no complete trial keeps the constraints, and the nearest one misses which, by how much."""
    row = leading(folder).iloc[0]
    value = f"{folder.goal.objectives[0]} {format_figure(row['value'])}"
    return (
        f"no complete trial keeps the constraints; trial {row.trial}, with {value}, comes nearest: it misses "
        f"'{row.binds}' by {missed_text(row)}"
    )


def missed_text(row: pd.Series) -> str:
    """By how much a row of `nearest` misses the constraint that binds."""
    return f"{row.missed:.2g}" + ("" if math.isnan(row.bands) else f" ({row.bands:.2g} bands)")


def _worst(folder: StudyFolder, best: pd.DataFrame) -> list[float]:
    """The first objective of each trial's worst replica."""
    goal, final = folder.goal, folder.final()
    return [float(goal.sign * goal.scores(final[final.trial == trial]).min()) for trial in best.trial]


def importances(folder: StudyFolder) -> dict[str, float]:
    """The importance of each parameter (PED-ANOVA), the largest first. The importances sum to 1.

    Empty if too few trials are complete, if there are several objectives, or if the folder has no journal.
    """
    if len(folder.goal.objectives) > 1 or not (folder.path / "optuna.journal").is_file():
        return {}
    study = folder.optuna()
    complete = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    if len(complete) < ENOUGH or len({trial.value for trial in complete}) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        return optuna.importance.get_param_importances(study, evaluator=evaluator)


def confirmed(folder: StudyFolder) -> Table:
    """The confirmed settings on seeds that the search never used, the best first."""
    rows = folder.confirmation()
    metric = folder.goal.objectives[0]
    table = Table(title=f"Confirmed: {metric} on {rows.seed.nunique()} held-out seeds", title_justify="left")
    constrained = bool(folder.goal.constraints)
    for column in ("", "mean [95%]", "p10", "worst", "failed", "search", "wins", *(["margin"] * constrained)):
        table.add_column(column, justify="right" if column else "left", overflow="fold")
    usual, failure = reference(rows, folder), folder.goal.first.failure
    for place, row in ranking(rows, folder).iterrows():
        table.add_row(
            escape(row.setting) + (" =" if row.tied and place else ""),
            mean_in_words(row),
            f"{row.p10:.3f}",
            f"{row['min']:.3f}",
            f"{row.failures:.0%}",
            f"{row.searched:.3f}" if pd.notna(row.searched) else "",
            f"{row.over_reference:.0%}" if usual and row.setting != usual else "",
            *([f"{row.margin:+.1f}"] if constrained else []),
            style="bold" if place == 0 else None,
        )
    worse = "below" if folder.goal.first.higher_is_better else "above"
    failed = "that diverged" if failure is None else f"with {metric} {worse} {failure:g}"
    wins = f"; wins: the chance that a replica does better than a replica of {usual}" if usual else ""
    kept = "; margin: from the constraint it keeps least, in bands of seed noise; negative if broken" * constrained
    table.caption = (
        f"=: tied with the best, seed by seed; failed: seeds {failed}; search: the value that the search measured{wins}"
        f"{kept}"
    )
    return table


def worths(folder: StudyFolder) -> Table:
    """What each term of the best setting is worth: how much the score drops without the term."""
    rows, metric = folder.leave_one_out(), folder.goal.objectives[0]
    title = f"{escape(rows.setting.iloc[0])} without each of its terms, on {rows.seed.nunique()} held-out seeds"
    table = Table(title=title, title_justify="left")
    for column in ("without", metric, "worth [95%]"):
        table.add_column(column, justify="left" if column == "without" else "right", no_wrap=True)
    for _, row in ranked_worths(rows, folder).iterrows():
        worth = f"{row.worth:+.4f} [{row['worth.low']:+.4f}, {row['worth.high']:+.4f}]"
        table.add_row(escape(row.term), f"{row['mean']:.3f}", worth)
    table.caption = "worth: how much more the whole setting scores, seed by seed"
    return table


def arms(folder: StudyFolder, most: int = 3) -> Table:
    """What each arm changes: the objective and the metrics that it is made of, each with its verdict."""
    rows, goal = folder.arms(), folder.goal
    usual = (*goal.objectives, *(bound.metric for bound in goal.bounds))
    others = [name for name, metric in folder.metrics.items() if not metric.examined]
    shown = list(dict.fromkeys((*usual, *others)))[:most]
    judged = verdicts(rows, {name: folder.metrics[name] for name in shown})
    table = Table(title=f"Arms of {escape(folder.name)} on {rows.seed.nunique()} seeds", title_justify="left")
    table.add_column("")
    for name in shown:
        table.add_column(escape(name), justify="right", overflow="fold")
    reference = judged.drop_duplicates("metric").reference
    table.add_row("as it is", *map(format_figure, reference), end_section=True)
    for arm, of in judged.groupby("arm", sort=False):
        table.add_row(escape(str(arm)), *(_verdict(row) for _, row in of.iterrows()))
    chance = by_chance(len(judged), rows.seed.nunique())
    table.caption = (
        "differences from the setting as it is, seed by seed, beside their bands of seed noise. By chance "
        f"{chance:.1f} of {len(judged)} comparisons would exceed theirs."
    )
    return table


def variance(folder: StudyFolder) -> Table:
    """Which part of a seed each metric's spread follows."""
    rows, factors = folder.varied(), factors_of(folder.manifest()["factors"])
    found = components(rows, factors, folder.goal)
    counts = " x ".join(str(rows[factor[0]].nunique()) for factor in factors)
    table = Table(title=f"Seed noise of {escape(folder.name)}, {counts} combinations", title_justify="left")
    table.add_column("")
    for name in found.factor.unique():
        table.add_column(escape(name), justify="right")
    for metric, of in found.groupby("metric", sort=False):
        table.add_row(
            escape(str(metric)), *(f"{row.share:.0%} [{row.low:.0%}, {row.high:.0%}]" for _, row in of.iterrows())
        )
    table.caption = (
        "the share of each metric's variance over replicas that follows initial weights, samples or labels alone, or "
        "only their combination"
    )
    return table


def _verdict(row: pd.Series) -> str:
    return styled(row.verdict, f"{row['difference']:+.4f} ± {row.band:.4f} {row.verdict}")


def styled(verdict: str, text: str) -> str:
    """A text as its verdict looks, in rich's markup."""
    style = {BETTER: "green", WORSE: "logging.level.error"}.get(verdict, "dim")
    return f"[{style}]{text}[/]"


def metrics(replicas: pd.DataFrame) -> Table:
    """Statistics of every metric over the replicas of a trial at one rung."""
    table = Table(title=f"{len(replicas)} replicas after {replicas.step.iloc[0]:,} steps", title_justify="left")
    for column in ("metric", "mean", "sd", "10th percentile", "min", "max"):
        table.add_column(column, justify="left" if column == "metric" else "right", overflow="fold")
    summary = summarise(replicas)
    for name in metric_names(replicas):
        figures = [*(summary[f"{name}.{statistic}"] for statistic in STATISTICS), replicas[name].max()]
        table.add_row(escape(name), *(format_figure(figure, like=figures[0]) for figure in figures))
    if replicas.diverged.any():
        table.caption = f"{replicas.diverged.sum()} diverged; a metric leaves out replicas that have no number for it"
    return table


def meanings(replicas: pd.DataFrame, declared: Mapping[str, Metric]) -> Table:
    """The meaning of each measured metric."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    for name in metric_names(replicas):
        table.add_row(escape(name), escape(declared[name].meaning) if name in declared else "", style="dim")
    return table


def schedule(sheet: Dopesheet) -> Table:
    """A dopesheet's keyframes with their resolved steps, a row for each."""
    table = Table(title=f"Schedule, {len(sheet):,} steps", title_justify="left")
    table.add_column("step", justify="right")
    rows = sheet.rows
    words = {"phase": [row.phase for row in rows], "actions": [", ".join(row.actions) for row in rows]}
    words = {title: cells for title, cells in words.items() if any(cells)}
    for title in words:
        table.add_column(title)
    for column in sheet.properties:
        table.add_column(column.name, justify="right", overflow="fold")
    keys = [dict(zip(p.steps, p.values, strict=True)) for p in sheet.properties]
    for i, row in enumerate(rows):
        cells = [escape(column[i]) for column in words.values()]
        cells += [format_value(column[row.step]) if row.step in column else "" for column in keys]
        table.add_row(f"{row.step:,}", *cells)
    return table


def drawn_schedule(sheet: Dopesheet, terms: Iterable[str] = (), width: int = 44) -> Table:
    """A drawing of a dopesheet's properties over its steps, each on its own logarithmic scale. `o` marks keyframes.

    Args:
        sheet: the dopesheet.
        terms: names of regularizers. Those without a column, whose weight is always 1, are listed as well.
        width: characters for the length of the schedule.
    """
    length = len(sheet)
    table = Table(title="Over training, logarithmic", title_justify="left", box=None, padding=(0, 1))
    for column in ("", "lowest", "highest"):
        table.add_column(column, justify="right" if column else "left", overflow="fold")
    phases = {row.step: row.phase for row in sheet.rows if row.phase}
    table.add_column(_marks(phases, length, width), no_wrap=True)
    for name, values in sheet.table().items():
        keys = next(p.steps for p in sheet.properties if p.name == name)
        sampled = np.log10(np.maximum(values[np.linspace(0, length - 1, width).round().astype(int)], 1e-10))
        scaled = (sampled - sampled.min()) / max(float(np.ptp(sampled)), 1e-9)
        line = "".join(_BARS[int(share * (len(_BARS) - 1))] for share in scaled)
        table.add_row(escape(name), format_value(float(values.min())), format_value(float(values.max())), line)
        table.add_row("", "", "", f"[dim]{_marks(dict.fromkeys(keys, 'o'), length, width)}[/]")
    for name in (name for name in terms if name not in {p.name for p in sheet.properties}):
        table.add_row(escape(name), "1", "1", "[dim]no column, weight 1[/]")
    return table


def _marks(marks: dict[int, str], length: int, width: int) -> str:
    """A line of `width` characters with each mark at its step."""
    line = [" "] * width
    for step, mark in marks.items():
        at = round(step * (width - 1) / max(length - 1, 1))
        line[at : at + len(mark)] = mark
    return escape("".join(line)[:width])


_BARS = "▁▂▃▄▅▆▇█"
