"""Tables of text: what a study found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.words import aggregate, parts, percentile
from study import StudyFolder
from study.evidence.leading import leading
from study.watch.live import format_figure, format_value


def best(folder: StudyFolder, n: int = 5) -> pd.DataFrame:
    """The n best complete trials: a row per metric (mean ± sd) and parameter, a column per trial."""
    metric = folder.goal.objectives[0]
    table = {}
    for _, row in leading(folder, n).iterrows():
        measured = [name for name in folder.metrics if f"{name}.mean" in row]
        means = {name: (row[f"{name}.mean"], row[f"{name}.sd"]) for name in measured}
        column = {name: f"{format_figure(mean)} ± {format_figure(sd, mean)}" for name, (mean, sd) in means.items()}
        if folder.goal.sign > 0:  # or these are of the best seeds
            column[f"{metric}, {percentile(folder)}"] = format_figure(row[f"{metric}.p10"])
            column[f"{metric}, worst seed"] = format_figure(row[f"{metric}.min"])
        column |= {name: format_value(row[f"param.{name}"]) for name in folder.space.distributions}
        table[f"trial {row.trial}"] = column
    return pd.DataFrame(table)


def ranking(ranked: pd.DataFrame, folder: StudyFolder, reference: str = "") -> pd.DataFrame:
    """The confirmed settings, the best first, with 95% intervals. The first column is the one they are ranked by.

    Args:
        ranked: `study.evidence.ranking.ranking`.
        folder: the study.
        reference: the setting that the column "beats reference" compares with.
    """
    by = aggregate(folder)
    table = {}
    for place, row in ranked.iterrows():

        def interval(name: str, style: str, row: pd.Series = row) -> str:
            if pd.isna(row.get(name, np.nan)):
                return "-"
            return f"{row[name]:{style}} [{row[f'{name}.low']:{style}}, {row[f'{name}.high']:{style}}]"

        cells = {
            "mean": interval("mean", ".3f"),
            "sd": interval("sd", ".3f"),
            percentile(folder): interval("p10", ".3f"),
            "worst seed": f"{row['min']:.3f}",
            "failed": interval("failures", ".0%"),
        }
        if "over_reference" in row:
            cells["beats reference"] = "-" if row.setting == reference else interval("over_reference", ".0%")
        cells["in the search"] = "-" if pd.isna(row.optimism) else f"{row.searched:.3f} ({row.optimism:+.3f})"
        cells = {by: cells.get(by, f"{row['value']:.3f}")} | cells
        table[f"{row.setting}{' (tied)' if row.tied and place else ''}"] = cells
    return pd.DataFrame(table).T


def worth(worths: pd.DataFrame) -> pd.DataFrame:
    """What each term is worth, as text: `study.evidence.ranking.worths`, indexed by term."""
    interval = [f"{row.worth:+.4f} [{row['worth.low']:+.4f}, {row['worth.high']:+.4f}]" for _, row in worths.iterrows()]
    return pd.DataFrame(
        {"without it": worths["mean"].map("{:.3f}".format), "worth": interval}, index=worths.index.rename(None)
    )


def front(folder: StudyFolder) -> pd.DataFrame:
    """The trials of the Pareto front and their objectives."""
    columns = {f"value.{name}": name for name in folder.goal.objectives}
    return folder.front().set_index("trial")[list(columns)].rename(columns=columns).map(format_figure)


def tooltips(trials: pd.DataFrame, folder: StudyFolder, names: Sequence[str]) -> list[str]:
    """The tooltip of each trial: its metrics, and the named parameters."""
    metric = folder.goal.objectives[0]
    others = [name for name in parts(folder) if name != metric]

    def tooltip(row: pd.Series) -> str:
        figures = [f"{metric} {format_figure(row[f'{metric}.mean'])}"]
        figures += [f"worst seed {format_figure(row[f'{metric}.min'])}"] if folder.goal.sign > 0 else []
        figures += [f"{name} {format_figure(row[f'{name}.mean'])}" for name in others]
        lines = [f"{name} = {format_value(row[f'param.{name}'])}" for name in names]
        return "\n".join([f"trial {row.trial}: {', '.join(figures)}", *lines])

    return [tooltip(row) for _, row in trials.iterrows()]
