"""What a study found, in words and in a table."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats

from analysis.page import swatch
from analysis.publish import PUBLISHED
from excolor import colors
from excolor.concepts import Concept, blindness_of, oracle
from excolor.models import ColorMLP, Outputs
from study import StudyFolder
from study.evidence.ranking import ranking
from study.record.tables import STATES
from study.search.goal import counted
from study.space.space import Space
from study.watch.live import format_figure, format_value

SPACES = Path(__file__).parents[1] / "search_spaces"


def confirmed(folder: StudyFolder) -> str:
    """The study's answer in a paragraph of Markdown, from settings trained on seeds that the search never saw."""
    rows = folder.confirmation
    ranked, metric = ranking(rows, folder), folder.goal.objectives[0]
    top = ranked.iloc[0]
    ties = ranked.setting[1:][ranked.tied[1:]].tolist()
    utility = rows.groupby("setting").utility.mean()
    sentences = [
        f"**On {rows.seed.nunique()} seeds that the search never saw, {top.setting} is best: {metric} "
        f"{_interval(top)}, 10th percentile {top.p10:.3f}, worst seed {top['min']:.3f}, {top.failures:.0%} failed.**",
        f"({metric.capitalize()} is {folder.metrics[metric].meaning.replace(': the usual objective', ', 1 at best')}.)",
        f"Its utility there is {utility[top.setting]:.3f}"
        + (f"; the search was held to {' and '.join(folder.goal.constraints)}." if folder.goal.constraints else "."),
        f"It ties with {', '.join(ties)}." if ties else "No other confirmed setting ties with it.",
    ]
    for _, other in ranked[ranked.trial.isna()].iterrows():
        what = f"The {other.setting} setting{_described(other.setting)} has"
        if other.setting != top.setting:
            sentences.append(f"{what} {_interval(other)}, worst seed {other['min']:.3f}.")
        elif _described(other.setting):
            sentences.append(f"The {other.setting} setting is{_described(other.setting)[1:]}.")
    for _, best in ranked[ranked.trial.notna()].head(1).iterrows():
        if best.setting != top.setting and not best.tied:
            sentences.append(f"**The search found nothing better**: {best.setting} has {_interval(best)}.")
        flattered = f"{abs(best.optimism):.3f} too {'well' if best.optimism > 0 else 'badly'}"
        sentences.append(
            f"The search had measured {best.searched:.3f} of {best.setting}, {flattered}; the best of many noisy "
            "trials is flattered as a rule."
        )
    return html.escape(" ".join(sentences), quote=False)


def _described(reference: str) -> str:
    """What a setting that is compared with is, by the title of its file, if it is one of ours."""
    file = SPACES / f"{reference}.toml"
    return f" (“{Space.read(file).template['title']}”)" if file.is_file() else ""


def name_of(folder: StudyFolder) -> str:
    """What to call a study on the command line."""
    published = folder.path.resolve().parent == PUBLISHED.resolve()
    return f"analysis/published/{folder.name}" if published else folder.name


def score_of(folder: StudyFolder) -> str:
    """What a study's scores are, of which more is better: its first objective, or that with the sign turned."""
    metric = folder.goal.objectives[0]
    return f"minus {metric}" if folder.goal.directions[0] == "minimize" else metric


def _interval(row: pd.Series) -> str:
    return f"{row['mean']:.3f} (95% interval {row['mean.low']:.3f} to {row['mean.high']:.3f})"


def answer(folder: StudyFolder) -> str:
    """What the search found, in a paragraph of Markdown. Raises ValueError if no trial is complete."""
    trials, best = folder.trials, folder.best()
    if best.empty:
        raise ValueError(f"{folder.path}: no trial is complete, so there is no answer")
    top = best.iloc[0]
    states = trials.state.value_counts()
    states_of = ", ".join(f"{states[state]} {state}" for state in STATES if state in states)
    planned = folder.manifest["trials"] or len(trials)
    of = f"{len(trials)} settings" if len(trials) >= planned else f"{len(trials)} of {planned} planned settings"
    seeds, concept = len(folder.seeds()), folder.space.template.get("concept", "hue")
    metric, aggregate = folder.goal.objectives[0], folder.goal.aggregate
    by = "" if aggregate == "mean" else f" by {aggregate} of {metric}, {format_figure(top['value'])}"
    tail = f", 10th percentile {top[f'{metric}.p10']:.3f}, worst seed {top[f'{metric}.min']:.3f}"
    tail = tail if folder.goal.directions[0] == "maximize" else ""  # these are of the best seeds
    figures = (
        f"mean {metric} {format_figure(top[f'{metric}.mean'])} ± {format_figure(top[f'{metric}.sd'])} "
        f"(sd over {seeds} seeds){tail}.**"
        f" Its intact model has utility {top['utility.mean']:.3f} and its ablated one "
        f"{concept} blindness {top[f'{blindness_of(concept)}.mean']:.3f}."
    )
    if len(trials) == 1:
        return f"**One setting, trained on its own: {figures}"
    ties = tied_with_best(folder)
    tied = (
        f"{_listed(ties)} cannot be told from it by these {seeds} seeds (paired t-test of {metric}, p > 0.05)."
        if ties
        else f"No other complete trial is as good (paired t-tests of {metric} over the {seeds} seeds, p < 0.05)."
    )
    ahead = "." if len(folder.confirmation) else ", which is what `study confirm` measures."
    return (
        f"**The best of {of} ({states_of}){by} is trial {top.trial}: {figures} {tied} It was chosen on the seeds it is "
        f"measured on here, so expect it to do somewhat worse on new seeds{ahead}"
    )


def _listed(trials: list[int]) -> str:
    """Trials as a person lists them: the first few, and how many others."""
    named, others = trials[:5], len(trials[5:])
    text = ", ".join(map(str, named))
    return f"Trials {text} and {others} others" if others else f"Trial{'s' * (len(named) > 1)} {text}"


def provenance(folder: StudyFolder) -> str:
    """Where a study's figures come from, in a line of Markdown."""
    manifest = folder.manifest
    return html.escape(
        f"Study {folder.name}, {manifest['started']}, of {manifest['space']}: seed {manifest['seed']}, replica seeds "
        f"{folder.seeds()[0]} to {folder.seeds()[-1]}, commit {manifest['commit'] or 'unknown'}, on "
        f"{manifest['machine']['cpus']} CPUs.",
        quote=False,
    )


def tied_with_best(folder: StudyFolder, level: float = 0.05) -> list[int]:
    """Complete trials whose mean objective is not significantly worse than the best's, by two-sided paired t-tests over
    the same seeds."""
    order = folder.best(len(folder.trials)).trial.tolist()
    sign = 1 if folder.goal.directions[0] == "maximize" else -1
    final = folder.final()
    final = final[final.trial.isin(order)].assign(
        score=sign * counted(final, folder.goal.objectives[0], folder.goal.first)
    )
    values = final.pivot_table(index="seed", columns="trial", values="score").dropna()
    if len(values) < 2:
        return order[1:]
    best = values[order[0]]
    return [
        t
        for t in order[1:]
        if np.allclose(best, values[t])
        or stats.ttest_rel(best, values[t], alternative="greater").pvalue > level / 2  # of two sides
    ]


def ties(folder: StudyFolder) -> list[str]:
    """`tied_with_best`, as trials are named in a sentence; of many, the first five and how many more."""
    tied = tied_with_best(folder)
    return [f"trial {trial}" for trial in tied[:5]] + ([f"{len(tied) - 5} others"] if len(tied) > 5 else [])


def tooltips(trials: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """What a reader who points at a trial is told: its isolation, its utility and the named parameters."""
    return [
        "\n".join(
            [
                f"trial {row.trial}: isolation {row['isolation.mean']:.3f}, worst seed {row['isolation.min']:.3f}, "
                f"utility {row['utility.mean']:.3f}",
                *(f"{name} = {format_value(row[f'param.{name}'])}" for name in names),
            ]
        )
        for _, row in trials.iterrows()
    ]


@torch.no_grad()
def lightness_over_hues(ablated: Outputs, replica: int) -> tuple[float, float]:
    """The darkest and the lightest answer, as mean channel, of one replica to 36 pure hues, which the oracle
    answers with one gray."""
    hues = colors.hsv_to_rgb(torch.stack([torch.arange(36) / 36, torch.ones(36), torch.ones(36)], -1))
    means = ablated(hues)[replica].mean(-1)
    return means.min().item(), means.max().item()


@torch.no_grad()
def named_colors(model: ColorMLP, ablated: Outputs, replica: int, concept: Concept = "hue") -> pd.DataFrame:
    """The named colours as one replica answers them, intact and ablated, and as the oracle does, as HTML swatches."""
    named = colors.named()
    x = torch.stack(list(named.values()))
    answers = {"true": x, "intact": model(x)[replica], "ablated": ablated(x)[replica], "oracle": oracle(x, concept)}
    table = {name: [swatch(rgb) for rgb in answer.tolist()] for name, answer in answers.items()}
    return pd.DataFrame(table, index=list(named))


def best_table(folder: StudyFolder, n: int = 5) -> pd.DataFrame:
    """The n best complete trials: a row per metric (mean ± sd) and parameter, a column per trial."""
    best = folder.best(n)
    table = {}
    for _, row in best.iterrows():
        measured = [name for name in folder.metrics if f"{name}.mean" in row]
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


def ranking_table(ranked: pd.DataFrame) -> pd.DataFrame:
    """The confirmed settings, the best first, with the intervals of what is said about them."""
    table = {}
    for place, row in ranked.iterrows():

        def interval(name: str, style: str, row: pd.Series = row) -> str:
            if pd.isna(row.get(name, np.nan)):
                return "-"
            return f"{row[name]:{style}} [{row[f'{name}.low']:{style}}, {row[f'{name}.high']:{style}}]"

        table[f"{row.setting}{' (tied)' if row.tied and place else ''}"] = {
            "mean": interval("mean", ".3f"),
            "sd": interval("sd", ".3f"),
            "10th percentile": interval("p10", ".3f"),
            "worst": f"{row['min']:.3f}",
            "failures": interval("failures", ".0%"),
            "over reference": interval("over_reference", ".0%"),
            "optimism": "-" if pd.isna(row.optimism) else f"{row.optimism:+.3f}",
        }
    return pd.DataFrame(table).T


def worth_table(worths: pd.DataFrame) -> pd.DataFrame:
    """What each term is worth (`study.evidence.ranking.worths`, by term), as text."""
    interval = [f"{row.worth:+.4f} [{row['worth.low']:+.4f}, {row['worth.high']:+.4f}]" for _, row in worths.iterrows()]
    return pd.DataFrame(
        {"without it": worths["mean"].map("{:.3f}".format), "worth": interval}, index=worths.index.rename(None)
    )


def front_table(folder: StudyFolder) -> pd.DataFrame:
    """The trials of the Pareto front and their objectives."""
    front = folder.front()
    columns = {f"value.{name}": name for name in folder.goal.objectives}
    return front.set_index("trial")[list(columns)].rename(columns=columns).map(format_figure)
