"""Studies side by side, in words and tables."""

from __future__ import annotations

import html
from collections.abc import Mapping

import pandas as pd

from analysis.words import count, plain
from study import StudyFolder
from study.evidence.comparing import at_work
from study.evidence.ranking import mean_in_words
from study.evidence.verdicts import UNRESOLVED
from study.watch.comparison import best_in_words, difference_in_words, kept_in_words, stopping_in_words
from study.watch.live import format_figure, format_value


def answer(studies: Mapping[str, StudyFolder], progress: Mapping[str, pd.DataFrame], found: pd.DataFrame) -> str:
    """Which answer is better on held-out seeds, and which search was ahead after the same work: in Markdown."""
    first, *others = studies
    metric = plain(studies[first].goal.objectives[0])
    if not others:
        return "One study alone. `study compare A B` puts others beside it."
    texts = []
    for _, row in found.iloc[1:].iterrows():
        if pd.isna(row["difference"]):
            texts.append(f"The answers of {row.study} and {first} cannot be compared: not both are confirmed.")
            continue
        paired = f"seed by seed on {count(int(row.paired), 'common seed')}" if row.paired else "on different seeds"
        text = f"{row['difference']:+.4f}, 95% interval {row.low:+.4f} to {row.high:+.4f}, {paired}"
        if row.verdict == UNRESOLVED:
            texts.append(f"**The answers of {row.study} and {first} do not differ measurably in {metric}** ({text}).")
        else:
            texts.append(f"**The answer of {row.study} has {row.verdict} {metric} than that of {first}** ({text}).")
    shortest = min(int(of.work.iloc[-1]) for of in progress.values())
    stood = [f"{_best(at_work(of, shortest))} ({name})" for name, of in progress.items()]
    texts.append(
        f"After {shortest:,} replica-steps, all that the shortest search trained, the best were {'; '.join(stood)}."
    )
    return html.escape(" ".join(texts), quote=False)


def _best(row: pd.Series | None) -> str:
    return "none" if row is None else best_in_words(row)


def searches(studies: Mapping[str, StudyFolder], progress: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What each search was asked, what it did, and how good its best trial was: a column for each study."""
    shortest = min(int(of.work.iloc[-1]) for of in progress.values())
    table = {}
    for name, folder in studies.items():
        plan, of = folder.plan(), progress[name]
        table[name] = {
            "space": folder.manifest()["space"],
            "sampler, scheduler": f"{plan.sampler}, {stopping_in_words(plan)}",
            "constraints": "; ".join(plan.constraints) or "none",
            "complete trials": f"{len(folder.complete()):,} of {len(folder.trials()):,}",
            "seeds of a trial": str(len(folder.seeds())),
            "replica-steps": f"{of.work.iloc[-1]:,}",
            "best at the end": best_in_words(of.iloc[-1]),
            f"best after {shortest:,}": best_in_words(at_work(of, shortest)),
        }
    return pd.DataFrame(table)


def answers(found: pd.DataFrame) -> pd.DataFrame:
    """The confirmed answers: a row for each study that has one."""
    table = {}
    for _, row in found[found.trial.notna()].iterrows():
        table[row.study] = {
            "answer": row.setting,
            "seeds": f"{row.seeds:.0f}",
            "mean": mean_in_words(row),
            "worst seed": format_figure(row["min"]),
            "failed": f"{row.failures:.0%}",
            "constraints": kept_in_words(row),
            f"from {found.study[0]}": "" if pd.isna(row["difference"]) else difference_in_words(row),
        }
    return pd.DataFrame(table).T


def parameters(unequal: pd.DataFrame) -> pd.DataFrame:
    """The values of `differing`, as text."""
    return unequal.map(lambda cell: "-" if pd.isna(cell) else format_value(cell))
