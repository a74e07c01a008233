"""What a map recommends, in words: the best setting, and a safe one that stays further from every bound."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.maps import NEAR_BEST, Map, fails, freedom
from analysis.words import count, listed, plain
from study import StudyFolder
from study.evidence.ranking import ranking
from study.evidence.rounds import standing
from study.watch.live import format_figure
from study.watch.summary import none_keeps


def recommended(folder: StudyFolder) -> dict[str, int]:
    """The trials to take: `best`, and `safe`, if another one gives up at most a band for a larger margin.

    They are chosen among the confirmed trials or, without a confirmation, among those that went furthest. Only trials
    that keep the constraints count; if there are none, `best` is the one that comes nearest.
    """
    table = _candidates(folder)
    if table.empty:
        return {}
    kept = table[table.feasible] if table.feasible.any() else table.head(1)
    best = kept.iloc[0]
    chosen = {"best": int(best.trial)}
    near = kept[folder.goal.sign * (best["value"] - kept["value"]) <= best.band]
    if len(near) > 1 and near.margin.notna().any():
        safe = near.loc[near.margin.idxmax()]
        if safe.trial != best.trial:
            chosen["safe"] = int(safe.trial)
    return chosen


def _candidates(folder: StudyFolder) -> pd.DataFrame:
    """Trials that may be recommended, the best first: `trial`, `value`, `feasible`, `binds`, `margin` and `band`."""
    metric, rows = folder.goal.objectives[0], folder.confirmation()
    ranked = ranking(rows, folder) if len(rows) else rows
    trials = ranked[ranked.trial.notna()] if len(ranked) else ranked
    if len(trials):
        n = rows.seed.nunique()
        table = trials.assign(band=2 * trials.sd * math.sqrt(2 / n))
        if "feasible" not in table:
            table = table.assign(feasible=True, binds="", margin=math.nan)
        return table
    stands = standing(folder)
    if stands.empty:
        return stands
    sd = folder.trials().set_index("trial")[f"{metric}.sd"]
    return stands.assign(band=2 * stands.trial.map(sd) * np.sqrt(2 / stands.seeds))


def answer(folder: StudyFolder, chosen: Mapping[str, int]) -> str:
    """What to set, in Markdown: the recommended trials, how good they are and how far from every bound."""
    metric, table = folder.goal.objectives[0], _candidates(folder)
    rows = {int(row.trial): row for _, row in table.iterrows()}
    seeds = folder.confirmation().seed.nunique()
    where = f"on {count(seeds, 'held-out seed')}" if seeds else "on the seeds of the search"

    def text(label: str, trial: int) -> str:
        row = rows[trial]
        margin = "" if pd.isna(row.margin) else f", {row.margin:.1f} bands inside '{row.binds}', which it keeps least"
        return f"**{label}: trial {trial}**, with {plain(metric)} {row['value']:.3f} {where}{margin}."

    if not table.feasible.any():
        return html.escape(f"**{none_keeps(folder).capitalize()}.**", quote=False)
    texts = [text("Best", chosen["best"])]
    if "safe" in chosen:
        texts.append(text("Safe", chosen["safe"]))
        texts.append("It gives up no more than a band of the objective, for the largest distance from every bound.")
    elif folder.goal.constraints:
        texts.append("No other setting within a band of it stays further from every bound.")
    return html.escape(" ".join(texts), quote=False)


def coverage(known: Map) -> str:
    """How many trials keep which requirements, and how well the models know, in Markdown."""
    missed = fails(known)
    n = len(missed)
    kept = int((missed == "").sum())
    binds = missed[missed != ""].value_counts()
    parts = [f"{number} miss *{name}* most" for name, number in binds.items()]
    r2 = [f"{share:.0%} of *{name}*" for name, share in known.r2.items()]
    text = f"{kept} of {count(n, 'complete trial')} keep all requirements" + (f"; {listed(parts)}." if parts else ".")
    band = f"*{NEAR_BEST}* means: within {format_figure(known.band)} of the best, which seeds alone can make."
    return f"{text} {band} The models explain {listed(r2)} in trials that they were not fitted to." + (
        " **They know too little to be believed where no trial is.**" if min(known.r2.values()) < 0.3 else ""
    )


def tightest(known: Map, starts: Mapping[str, int], most: int = 3) -> str:
    """Which parameters may move least, from each of some trials, in Markdown. `starts` has their labels."""
    texts = []
    for label, trial in starts.items():
        free = freedom(known, trial)
        width = (free.high - free.low).sort_values().head(most)
        named = [f"*{html.escape(str(name))}* ({share:.0%} of its range)" for name, share in width.items()]
        texts.append(f"From {label}, trial {trial}, least may move {listed(named)}.")
    return " ".join(texts)
