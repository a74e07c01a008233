"""The answer of a study in words: what its confirmation found."""

from __future__ import annotations

import html
import math
import tomllib

import pandas as pd

from analysis.words import aggregate, count, listed, parts, percentile, plain, reference_files, sentence
from study import StudyFolder
from study.evidence.ranking import ranking


def answer(folder: StudyFolder) -> str:
    """The study's answer in two paragraphs of Markdown: the best confirmed setting, and what it is compared with.

    The figures are those of the confirmation, whose seeds the search never saw.
    """
    rows, goal = folder.confirmation(), folder.goal
    ranked, metric = ranking(rows, folder), folder.goal.objectives[0]
    seeds = rows.setting.value_counts()
    top, trials, others = ranked.iloc[0], ranked[ranked.trial.notna()], ranked[ranked.trial.isna()]
    by = "" if goal.aggregate == "mean" else f" by the {aggregate(folder)} of {metric}, {top['value']:.3f}"
    declared = folder.metrics[metric]
    ideal = "" if declared.ideal is None else f"; {declared.ideal:g} is perfect"
    sentences = [
        f"**On {count(rows.seed.nunique(), 'seed')} that the search never saw, {_called(top)} is best{by}: "
        f"mean {metric} {_figures(top, seeds, folder)}.**",
        f"({metric.capitalize()}: {declared.meaning}{ideal}.)",
    ]
    measured = [name for name in parts(folder) if name in rows and name != metric]
    means = rows[rows.setting == top.setting][measured].mean()
    if measured:
        sentences.append("Its " + " and its ".join(f"{plain(name)} is {means[name]:.3f}" for name in measured) + ".")
    if goal.constraints:
        sentences.append(f"The search required {listed(goal.constraints)}. {_kept(ranked, goal.margin)}")
    sentences.append(_ties(ranked, seeds))
    sentences.append(_safest(ranked, seeds, folder))
    compared = []
    for _, other in others.iterrows():
        title = _title(folder, other.setting)
        if other.setting != top.setting:
            compared.append(f"The setting `{other.setting}`{title} has {_figures(other, seeds, folder, short=True)}.")
        elif title:
            compared.append(f"`{other.setting}` is{title}.")
    for _, best in trials.head(1).iterrows():
        if best.setting != top.setting and not best.tied:
            compared.append(f"**The search found nothing better.** Its best, {best.setting}, has {_interval(best)}.")
        compared.append(_optimism(best, folder))
    paragraphs = [" ".join(filter(None, part)) for part in (sentences, compared)]
    return html.escape("\n\n".join(filter(None, paragraphs)), quote=False)


def _kept(ranked: pd.DataFrame, wanted: float) -> str:
    """How the trials keep the constraints on these seeds."""
    top, trials = ranked.iloc[0], ranked[ranked.trial.notna()]
    apart = "" if math.isnan(top.margin) else f", {abs(top.margin):.1f} bands of seed noise from '{top.binds}'"
    more = f" (asked for: {wanted:g})" * bool(wanted)
    broken = trials.setting[~trials.feasible].tolist()
    if not top.feasible:
        return f"**On these seeds no confirmed setting does**{apart}{more}."
    text = f"On these seeds {_called(top)} does{apart}{more}."
    return text + (f" **{sentence(listed(broken))} {'do' if len(broken) > 1 else 'does'} not.**" if broken else "")


def _ties(ranked: pd.DataFrame, seeds: pd.Series) -> str:
    """Which settings tie with the best, and which fail more often than it does."""
    ties, top = ranked.setting[1:][ranked.tied[1:]].tolist(), ranked.iloc[0]
    tie = "tie" if len(ties) > 1 else "ties"
    text = f"{sentence(listed(ties))} {tie} with it" if ties else "No other confirmed setting ties with it"
    riskier = ranked[ranked.trial.notna() & (ranked.failures > top.failures)]
    if riskier.empty:
        return f"{text}."
    fail = [f"{row.setting} ({_failures(row, seeds)} of {seeds[row.setting]})" for _, row in riskier.iterrows()]
    return f"{text}. More seeds fail with {listed(fail)}."


def _safest(ranked: pd.DataFrame, seeds: pd.Series, folder: StudyFolder) -> str:
    """The setting that fails least; among equals, the one whose worst tenth of seeds is best."""
    if len(ranked) < 2:
        return ""
    up, top = folder.goal.sign, ranked.iloc[0]
    order = ranked.assign(tail=up * ranked.p10).sort_values(["failures", "tail"], ascending=[True, False])
    safest, end = order.iloc[0], "p10.low" if up > 0 else "p10.high"
    measurably = safest.failures < top.failures or up * safest[end] > up * top.p10  # NaN, of one seed, is not
    if safest.setting == top.setting or not measurably:
        return "No other confirmed setting is measurably safer."
    return (
        f"**The safest is {_called(safest)}**: {_failed(safest, seeds)}, {percentile(folder)} {safest.p10:.3f}, worst "
        f"seed {safest['min']:.3f}, mean {safest['mean']:.3f}."
    )


def _optimism(best: pd.Series, folder: StudyFolder) -> str:
    """How far the search had overestimated the best trial."""
    what = "" if folder.goal.aggregate == "mean" else f"a {aggregate(folder)} of "
    text = f"The search had measured {what}{best.searched:.3f} for {best.setting}"
    if abs(best.optimism) < 0.0005:
        return f"{text}, the same as here."
    if best.optimism < 0:
        return f"{text}, {-best.optimism:.3f} worse than here."
    return f"{text}, {best.optimism:.3f} better than here: the winner of many noisy trials was also lucky."


def _figures(row: pd.Series, seeds: pd.Series, folder: StudyFolder, short: bool = False) -> str:
    tenth = "" if short else f", {percentile(folder)} {row.p10:.3f}"
    failed = f", {_failed(row, seeds)}" if row.failures or not short else ""
    return f"{_interval(row)}{tenth}, worst seed {row['min']:.3f}{failed}"


def _called(row: pd.Series) -> str:
    return row.setting if pd.notna(row.trial) else f"the setting `{row.setting}`"


def _interval(row: pd.Series) -> str:
    if pd.isna(row["mean.low"]):
        return f"{row['mean']:.3f}"
    return f"{row['mean']:.3f} (95% interval {row['mean.low']:.3f} to {row['mean.high']:.3f})"


def _failed(row: pd.Series, seeds: pd.Series) -> str:
    failed = _failures(row, seeds)
    return f"{failed} of {count(seeds[row.setting], 'seed')} failed" if failed else "no seed failed"


def _failures(row: pd.Series, seeds: pd.Series) -> int:
    return round(row.failures * seeds[row.setting])


def _title(folder: StudyFolder, reference: str) -> str:
    """The title of a reference setting, if its file lies beside the experiment's own references."""
    for file in {path.with_name(f"{reference}.toml") for path in reference_files(folder)}:
        if file.is_file() and (title := tomllib.loads(file.read_text(encoding="utf-8")).get("title")):
            return f" (“{title}”)"
    return ""
