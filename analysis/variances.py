"""Seed noise in words: which part of a seed the objective and failures follow."""

from __future__ import annotations

import html

import pandas as pd

from analysis.words import count, plain
from study import StudyFolder
from study.evidence.components import FAILED, REST


def answer(folder: StudyFolder, found: pd.DataFrame) -> str:
    """What the objective's spread and failures follow most, in Markdown."""
    metric, rows = folder.goal.objectives[0], folder.varied()
    failed = int(folder.goal.failed(rows).sum())
    texts = [f"{count(len(rows), 'replica')}, one for each combination of seeds; {failed} of them failed."]
    for name, said in ((metric, f"the variance of {plain(metric)}"), (FAILED, "whether a replica fails")):
        of = found[found.metric == name]
        if len(of):
            top = of.sort_values("share").iloc[-1]
            share = f"{top.share:.0%} (95% interval {top.low:.0%} to {top.high:.0%})"
            texts.append(f"**{share} of {said} follows {_named(top.factor)}.**")
    return html.escape(" ".join(texts), quote=False)


def _named(factor: str) -> str:
    if factor == REST:
        return "only combinations of them"
    meanings = {"init": "the initial weights", "data": "the samples", "labels": "the labels"}
    return " and ".join(meanings[part] for part in factor.split("+"))


def table(found: pd.DataFrame) -> pd.DataFrame:
    """A row for each metric, a column for each factor: its share with its interval."""
    cells = found.assign(cell=[f"{row.share:.0%} [{row.low:.0%}, {row.high:.0%}]" for _, row in found.iterrows()])
    wide = cells.pivot_table(index="metric", columns="factor", values="cell", aggfunc="first", sort=False)
    return wide.rename_axis(index=None, columns=None)
