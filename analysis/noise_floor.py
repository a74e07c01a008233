"""The noise floor of every metric: which differences between trials are larger than what seeds alone make of them."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator

import numpy as np
import pandas as pd

from analysis.words import count, listed, plain
from study import StudyFolder
from study.search.goal import counted

COMPLETE, BETTER, CONFIRMED = "complete", "better half", "confirmed"
"""Sets of trials: all complete ones, the half of them with the better objective, and the confirmed ones."""

RESAMPLES = 200


def floors(folder: StudyFolder) -> pd.DataFrame:
    """What seeds make of each metric, beside what settings make of it.

    All trials of a set have the same seeds, so the table of their values, a row per trial and a column per seed, is a
    two-way layout: a seed's part that is the same in all trials cancels when trials are compared.

    Returns:
        A row for each metric and set of trials, if that has two trials and two seeds:

        - `metric`, `set`, and how many `trials` and `seeds` it has. Trials that lack a value are left out, and
          metrics that differ only between seeds, too.
        - `sd`: the standard deviation of one trial's seeds, pooled over the trials.
        - `se`: the standard error of a trial's mean.
        - `band`: the difference of two trials' means that seeds alone make: two standard errors, on common seeds.
        - `typical`: the difference of two trials' settings (root mean square), without what seeds make of it.
        - `ratio`: `typical` in bands.
        - `told`: the share of pairs of trials whose means differ by more than the band. Seeds alone make 5% differ.

        `sd`, `band`, `typical` and `ratio` have 95% bootstrap intervals, as in `sd.low` and `sd.high`. Trials are
        resampled or, if they are fewer than the seeds, these. With 40 trials of 4 seeds, nine intervals in ten hold
        the truth.
    """
    goal, rows = folder.goal, []
    for name, part in _sets(folder):
        for metric, declared in goal.metrics.items():
            if metric in part:
                values = part.assign(value=counted(part, metric, declared))
                table = values.pivot_table(index="trial", columns="seed", values="value").dropna().to_numpy(float)
                if min(table.shape) > 1 and not np.allclose(table, table[0], rtol=1e-6, atol=0):
                    sizes = {"trials": table.shape[0], "seeds": table.shape[1]}
                    rows.append({"metric": metric, "set": name} | sizes | _floor(table))
    return pd.DataFrame(rows)


def _sets(folder: StudyFolder) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each set of trials."""
    complete = folder.complete()
    if complete.empty:
        return
    score = folder.goal.sign * complete["value"]
    final, confirmed = folder.final(), folder.confirmation()
    yield COMPLETE, final[final.trial.isin(complete.trial)]
    yield BETTER, final[final.trial.isin(complete.trial[score >= score.median()])]
    yield CONFIRMED, confirmed[confirmed.trial.notna()]


def _floor(table: np.ndarray) -> dict[str, float]:
    """The figures of a table [trials, seeds], with intervals."""
    axis = int(table.shape[0] < table.shape[1])
    random, size = np.random.default_rng(0), table.shape[axis]
    resampled = [_estimates(np.take(table, random.integers(0, size, size), axis)) for _ in range(RESAMPLES)]
    found = _estimates(table)
    low, high = np.percentile([list(each.values()) for each in resampled], (2.5, 97.5), axis=0, method="nearest")
    ends = {f"{name}.low": low[place] for place, name in enumerate(found)}
    ends |= {f"{name}.high": high[place] for place, name in enumerate(found)}
    apart = told(table.mean(1), found["band"])
    return found | ends | {"se": found["sd"] / np.sqrt(table.shape[1]), "told": apart}


def told(means: np.ndarray, band: float) -> float:
    """The share of pairs of means that differ by more than a band."""
    ordered, n = np.sort(means), len(means)
    within = np.searchsorted(ordered, ordered + band, side="right") - np.arange(1, n + 1)
    return 1 - float(within.sum()) / (n * (n - 1) / 2)


def _estimates(table: np.ndarray) -> dict[str, float]:
    """Variance components of a two-way layout without replication, by mean squares, as the figures of `floors`."""
    trials, seeds = table.shape
    deviations = table - table.mean(1, keepdims=True)
    apart = deviations - deviations.mean(0)
    within = (deviations**2).sum() / (trials * (seeds - 1))
    noise = (apart**2).sum() / ((trials - 1) * (seeds - 1))
    between = max(0.0, table.mean(1).var(ddof=1) - noise / seeds)
    band, typical = 2 * np.sqrt(2 * noise / seeds), np.sqrt(2 * between)
    ratio = typical / band if band > 0 else np.inf * typical if typical > 0 else 0.0
    return {"sd": np.sqrt(within), "band": band, "typical": typical, "ratio": ratio}


def answer(found: pd.DataFrame, metric: str) -> str:
    """Which pairs of trials the objective tells apart, and what seeds hide in good trials, in Markdown."""
    rows = {row.set: row for _, row in found[found.metric == metric].iterrows()}
    texts = []
    if COMPLETE in rows:
        row = rows[COMPLETE]
        texts.append(
            f"{row.told:.0%} of the pairs of complete trials differ in {plain(metric)} by more than "
            f"{_figure(row, 'band')}, the band of {count(row.seeds, 'seed')}."
        )
    if BETTER in rows:
        row = rows[BETTER]
        texts.append(f"{row.told:.0%} of those in the better half differ by more than {_figure(row, 'band')}.")
    better = found[found.set == BETTER]
    if hidden := [f"*{name}*" for name in better.metric[better.ratio < 1]]:
        texts.append(f"There, a typical difference is smaller than its band in {listed(hidden, most=9)}.")
    return html.escape(" ".join(texts), quote=False)


def table(found: pd.DataFrame) -> pd.DataFrame:
    """The figures of `floors` as text, a row for each metric and set of trials."""
    cells = {
        (row.metric, row.set): {
            "trials x seeds": f"{row.trials} x {row.seeds}",
            "one seed (sd)": _interval(row, "sd"),
            "mean of the seeds (se)": _figure(row, "se"),
            "band of a difference": _interval(row, "band"),
            "typical difference": _interval(row, "typical"),
            "pairs told apart": f"{row.told:.0%}",
        }
        for _, row in found.iterrows()
    }
    return pd.DataFrame.from_dict(cells, orient="index").sort_index(
        level=0, key=lambda names: names.map(list(dict.fromkeys(found.metric)).index), sort_remaining=False
    )


def _interval(row: pd.Series, name: str) -> str:
    return f"{_figure(row, name)} [{_figure(row, f'{name}.low')}, {_figure(row, f'{name}.high')}]"


def _figure(row: pd.Series, name: str) -> str:
    """A figure of a row, to two digits of its band."""
    decimals = 1 - math.floor(math.log10(row.band)) if row.band > 0 else 3
    return f"{row[name]:.{min(max(decimals, 0), 6)}f}"
