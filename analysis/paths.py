"""A path between two settings, in words and tables: which change bought what."""

from __future__ import annotations

import html

import pandas as pd

from analysis.words import count, listed, plain
from study import StudyFolder
from study.evidence.paths import TOTAL, alone, gains
from study.evidence.verdicts import UNRESOLVED
from study.watch.live import format_figure


def found(folder: StudyFolder) -> pd.DataFrame:
    """What each change on a study's path bought."""
    return gains(folder.path_settings(), folder.goal.objectives[0], folder.goal.first)


def answer(folder: StudyFolder, bought: pd.DataFrame) -> str:
    """Which changes bought how much of the difference between the path's ends: in Markdown."""
    metric, manifest, seeds = plain(folder.goal.objectives[0]), folder.manifest(), folder.path_settings().seed.nunique()
    changes, total = bought[bought.change != TOTAL], bought[bought.change == TOTAL].iloc[0]
    texts = [
        f"**From {manifest['from']} to {manifest['to']}, {metric} changes by {total['difference']:+.3f} (95% interval "
        f"{total.low:+.3f} to {total.high:+.3f}) on {count(seeds, 'held-out seed')}.**"
    ]
    resolved = changes[changes.verdict != UNRESOLVED]
    if len(resolved):
        gained = [f"{row.change} ({row['difference']:+.3f})" for _, row in resolved.iterrows()]
        texts.append(
            f"{len(resolved)} of {count(len(changes), 'change')} exceed their bands: {listed(gained, most=30)}."
        )
    if len(resolved) < len(changes):
        rest = changes[changes.verdict == UNRESOLVED]
        texts.append(f"Not resolved: {listed(rest.change.tolist(), most=30)}.")
    return html.escape(" ".join(texts), quote=False)


def table(folder: StudyFolder, bought: pd.DataFrame) -> pd.DataFrame:
    """A row for each change: the mean after it, its gain, and what it does to the first setting by itself."""
    goal = folder.goal
    by_itself = alone(folder.path_tried(), folder.final(0), goal.objectives[0], goal.first)
    return pd.DataFrame(
        {
            f"mean {goal.objectives[0]}": [format_figure(mean) for mean in bought["mean"]],
            "worst seed": [format_figure(worst) for worst in bought.worst],
            "gain": [f"{row['difference']:+.4f} ± {row.band:.4f}" for _, row in bought.iterrows()],
            "95% interval": [f"{row.low:+.4f} to {row.high:+.4f}" for _, row in bought.iterrows()],
            "verdict": bought.verdict.tolist(),
            "by itself": [f"{by_itself[change]:+.4f}" if change in by_itself else "-" for change in bought.change],
        },
        index=bought.change.rename(None),
    )
