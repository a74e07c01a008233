"""Arms in words and tables: which changes cost something, and what is left when the others are made."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd

from analysis.words import count, listed, parts, plain, sentence
from study import StudyFolder
from study.evidence.arms import TOGETHER
from study.evidence.ranking import mean_in_words, ranking
from study.evidence.verdicts import BETTER, UNRESOLVED, WORSE, by_chance, verdicts
from study.watch.live import format_figure


def judged(folder: StudyFolder) -> pd.DataFrame:
    """The verdict of each arm on each metric that is measured at every rung."""
    metrics = {name: metric for name, metric in folder.metrics.items() if not metric.examined}
    return verdicts(folder.arms(), metrics)


def shown(folder: StudyFolder) -> list[str]:
    """The metrics that a figure shows: the first objective, and the two that are declared after it."""
    return list(dict.fromkeys([folder.goal.objectives[0], *parts(folder)]))


def answer(folder: StudyFolder, table: pd.DataFrame) -> str:
    """Which changes make the objective worse, which better, and which are not resolved: in Markdown."""
    metric, seeds = folder.goal.objectives[0], folder.arms().seed.nunique()
    of = table[table.metric == metric].set_index("arm")
    arms = {verdict: of.index[of.verdict == verdict].tolist() for verdict in (WORSE, BETTER, UNRESOLVED)}
    texts = [
        f"**Of {count(len(of), 'change')} to the setting, {len(arms[WORSE])} make {plain(metric)} worse by more than "
        f"the seeds' noise: {_named(arms[WORSE])}.**"
        if arms[WORSE]
        else f"**None of {count(len(of), 'change')} to the setting makes {plain(metric)} measurably worse.**"
    ]
    if arms[BETTER]:
        texts.append(f"Better is {_named(arms[BETTER])}.")
    if arms[UNRESOLVED]:
        texts.append(f"What {count(seeds, 'seed')} do not resolve: {_named(arms[UNRESOLVED])}.")
    comparisons, beyond = table["difference"].notna().sum(), (table.verdict != UNRESOLVED).sum()
    texts.append(
        f"Without any real difference, about {by_chance(comparisons, seeds):.0f} of all "
        f"{count(comparisons, 'comparison')} would exceed their bands by chance; {beyond} do."
    )
    return html.escape(" ".join(texts), quote=False)


def schedules(folder: StudyFolder, table: pd.DataFrame) -> str:
    """Whether schedules are needed, by the arms that hold weights constant: in Markdown. Empty without such arms."""
    metric = folder.goal.objectives[0]
    constants = table.arm.str.contains(r" at its (?:peak|mean|dose)$") & (table.arm != TOGETHER)
    of = table[(table.metric == metric) & constants]
    if of.empty:
        return ""
    kept = of.assign(term=of.arm.str.replace(r" at its \w+$", "", regex=True))
    free = set(kept.term[kept.verdict != WORSE])
    needed = [term for term in kept.term.unique() if term not in free]
    text = (
        f"Every constant makes {plain(metric)} worse for {_named(needed)}."
        if needed
        else f"For each term some constant does as well as its schedule in {plain(metric)}, as far as these seeds tell."
    )
    together = table[(table.metric == metric) & (table.arm == TOGETHER)]
    for _, row in together.iterrows():
        text += (
            f" With every weight at its dose at once, {plain(metric)} changes by {row['difference']:+.4f} "
            f"(95% interval {row.low:+.4f} to {row.high:+.4f}; {row.verdict})."
        )
    return html.escape(f"**Is a schedule needed?** {text}", quote=False)


def details(table: pd.DataFrame) -> pd.DataFrame:
    """A row for each arm, a column for each metric: the difference, its band, and what would resolve it."""

    def cell(row: pd.Series) -> str:
        if np.isnan(row["difference"]):
            return "-"
        text = f"{row['difference']:+.4f} ± {row.band:.4f}"
        if row.verdict == UNRESOLVED:
            return f"{text}, {row.seeds:,.0f} seeds" if np.isfinite(row.seeds) else text
        return f"{text}, {row.verdict}"

    cells = table.assign(cell=[cell(row) for _, row in table.iterrows()])
    wide = cells.pivot_table(index="arm", columns="metric", values="cell", aggfunc="first", sort=False)
    usual = dict(zip(table.metric, table.reference, strict=True))
    first = pd.DataFrame({name: [format_figure(usual[str(name)])] for name in wide}, index=["as it is"])
    return pd.concat([first, wide]).rename_axis(index=None, columns=None)


def simplest(folder: StudyFolder) -> str:
    """What is left of the setting when all changes that cost nothing are made: in Markdown. Empty if nobody asked."""
    accepted = folder.manifest().get("accepted")
    if accepted is None:
        return ""
    if not accepted:
        return "No change could be made: each makes something that counts worse."
    ranked = {row.setting: mean_in_words(row) for _, row in ranking(folder.confirmation(), folder).iterrows()}
    text = (
        f"**{sentence(_named(accepted))}, all at once:** on {folder.confirmation().seed.nunique()} held-out seeds the "
        f"mean {plain(folder.goal.objectives[0])} is {ranked['simplest']}; the setting as it is has "
        f"{ranked['reference']}. Its files are in the study's folder `simplest/`."
    )
    return html.escape(text, quote=False)


def _named(arms: list[str]) -> str:
    return listed(arms, most=30)
