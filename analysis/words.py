"""What a study found, in words and in a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from study import StudyFolder
from study.folder import STATES
from study.live import format_value
from study.summary import format_figure

EXPLAINED = {
    "isolation": "utility x hue blindness, both at least 0: what the search maximises",
    "utility": "how well the intact model reproduces colours: 1 perfectly, 0 no better than without hue",
    "hue_blindness": "how close the ablated output is to the best hue-blind guess: 1 there, 0 if hue is untouched",
    "hue_residual": "share of the outputs' variation with hue that is left after ablation (0 is best)",
    "gray_collateral": "what ablation costs on grays: 0 nothing, 1 as much as answering one gray for all",
    "lightness_kept": "R² of the ablated output's lightness with the oracle's (1 is best)",
    "vibrancy_r2": "r² of ablated error and vibrancy^2.3, the published measure; not to choose by",
    "labelled": "samples seen in training that carried a label: what the supervision cost",
}


def answer(folder: StudyFolder) -> str:
    """The study's answer in a paragraph of Markdown. Raises ValueError if no trial is complete."""
    trials, best = folder.trials, folder.best()
    if best.empty:
        raise ValueError(f"{folder.path}: no trial is complete, so there is no answer")
    top = best.iloc[0]
    states = trials.state.value_counts()
    counted = ", ".join(f"{states[state]} {state}" for state in STATES if state in states)
    ties = tied_with_best(folder)
    tied = (
        f"Trials {', '.join(map(str, ties))} cannot be told from it by these seeds (paired t-test, p > 0.05)."
        if ties
        else "No other complete trial is as good (paired t-tests over the seeds, p < 0.05)."
    )
    return (
        f"**The best of {len(trials)} settings ({counted}) is trial {top.trial}: mean isolation "
        f"{top['isolation.mean']:.3f} ± {top['isolation.sd']:.3f} (sd over {len(folder.seeds())} seeds), "
        f"10th percentile {top['isolation.p10']:.3f}, worst seed {top['isolation.min']:.3f}.** "
        f"Its intact model has utility {top['utility.mean']:.3f} and its ablated one hue blindness "
        f"{top['hue_blindness.mean']:.3f}. {tied} It was chosen on the seeds it is measured on here, so expect "
        f"somewhat less of it on new seeds."
    )


def tied_with_best(folder: StudyFolder, level: float = 0.05) -> list[int]:
    """Complete trials whose isolation is not significantly below the best's, by paired t-tests over the same seeds."""
    order = folder.best(len(folder.trials)).trial.tolist()
    final = folder.final()
    values = final[final.trial.isin(order)].pivot_table(index="seed", columns="trial", values="isolation")
    if len(values) < 2:
        return order[1:]
    best = values[order[0]]
    return [t for t in order[1:] if np.allclose(best, values[t]) or stats.ttest_rel(best, values[t]).pvalue > level]


def best_table(folder: StudyFolder, n: int = 5) -> pd.DataFrame:
    """The n best complete trials: a row per metric (mean ± sd) and parameter, a column per trial."""
    best = folder.best(n)
    table = {}
    for _, row in best.iterrows():
        means = {name: (row[f"{name}.mean"], row[f"{name}.sd"]) for name in EXPLAINED}
        column = {name: f"{format_figure(mean)} ± {format_figure(sd)}" for name, (mean, sd) in means.items()}
        column |= {
            "isolation, 10th percentile": f"{row['isolation.p10']:.3f}",
            "isolation, worst": f"{row['isolation.min']:.3f}",
        }
        for name in folder.space.distributions:
            value = row[f"param.{name}"]
            column[name] = format_value(value)
        table[f"trial {row.trial}"] = column
    return pd.DataFrame(table)
