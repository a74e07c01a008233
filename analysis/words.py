"""What a study found, in words and in a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from study import StudyFolder
from study.folder import STATES
from study.live import format_figure, format_value
from study.summary import MEANINGS


def answer(folder: StudyFolder) -> str:
    """The study's answer in a paragraph of Markdown. Raises ValueError if no trial is complete."""
    trials, best = folder.trials, folder.best()
    if best.empty:
        raise ValueError(f"{folder.path}: no trial is complete, so there is no answer")
    top = best.iloc[0]
    states = trials.state.value_counts()
    counted = ", ".join(f"{states[state]} {state}" for state in STATES if state in states)
    planned = folder.manifest["trials"]
    of = f"{len(trials)} settings" if len(trials) >= planned else f"{len(trials)} of {planned} planned settings"
    seeds = len(folder.seeds())
    figures = (
        f"mean isolation {format_figure(top['isolation.mean'])} ± {format_figure(top['isolation.sd'])} "
        f"(sd over {seeds} seeds), 10th percentile {top['isolation.p10']:.3f}, worst seed {top['isolation.min']:.3f}.**"
        f" Its intact model has utility {top['utility.mean']:.3f} and its ablated one hue blindness "
        f"{top['hue_blindness.mean']:.3f}."
    )
    if len(trials) == 1:
        return f"**One setting, trained on its own: {figures}"
    ties = tied_with_best(folder)
    tied = (
        f"Trials {', '.join(map(str, ties))} cannot be told from it by these {seeds} seeds (paired t-test, p > 0.05)."
        if ties
        else f"No other complete trial is as good (paired t-tests over the {seeds} seeds, p < 0.05)."
    )
    return (
        f"**The best of {of} ({counted}) is trial {top.trial}: {figures} {tied} It was chosen on the seeds it is "
        f"measured on here, so expect somewhat less of it on new seeds: `study export {folder.name} {top.trial}`, then "
        f"`study train` with another `--seed`."
    )


def provenance(folder: StudyFolder) -> str:
    """Where a study's figures come from, in a line of Markdown."""
    manifest = folder.manifest
    return (
        f"Study {folder.name}, {manifest['started']}, of {manifest['space']}: seed {manifest['seed']}, replica seeds "
        f"{folder.seeds()[0]} to {folder.seeds()[-1]}, commit {manifest['commit'] or 'unknown'}, on "
        f"{manifest['machine']['cpus']} CPUs."
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
        measured = [name for name in MEANINGS if f"{name}.mean" in row]
        means = {name: (row[f"{name}.mean"], row[f"{name}.sd"]) for name in measured}
        column = {n: f"{format_figure(mean)} ± {format_figure(sd, mean)}" for n, (mean, sd) in means.items()}
        column |= {
            "isolation, 10th percentile": f"{row['isolation.p10']:.3f}",
            "isolation, worst": f"{row['isolation.min']:.3f}",
        }
        for name in folder.space.distributions:
            column[name] = format_value(row[f"param.{name}"])
        table[f"trial {row.trial}"] = column
    return pd.DataFrame(table)
