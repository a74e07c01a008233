"""What a study found, in words."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from analysis.publish import PUBLISHED
from study import StudyFolder
from study.evidence.leading import leading
from study.experiment import Setting
from study.record.folder import reference_files as references_of
from study.record.trial_state import TrialState
from study.space.space import Space
from study.watch.live import format_figure
from study.watch.summary import none_keeps

_AGGREGATES = {
    1: {"mean": "mean", "p10": "10th percentile", "min": "worst seed", "lcb": "lower bound of the mean"},
    -1: {"mean": "mean", "p10": "90th percentile", "min": "worst seed", "lcb": "upper bound of the mean"},
}


def reference_files(folder: StudyFolder) -> list[Path]:
    """The files of the fixed settings that the experiment compares with, the usual one first.

    The list is empty if the experiment is not installed here.
    """
    files = references_of(folder.space) if folder.source.here else []
    return [file for file in files if file.is_file()]


def references(folder: StudyFolder) -> dict[str, Setting]:
    """The settings of `reference_files` by the names of their files, at the study's number of steps."""
    steps = folder.manifest()["steps"]
    return {file.stem: Space.read(file, steps, folder.source).setting() for file in reference_files(folder)}


def parts(folder: StudyFolder) -> list[str]:
    """The two metrics that are declared after the usual objective, which is usually made of them; or fewer."""
    return [name for name, metric in folder.metrics.items() if not metric.examined][1:3]


def name_of(folder: StudyFolder) -> str:
    """The study's name as the command line takes it."""
    published = folder.path.resolve().parent == PUBLISHED.resolve()
    return f"analysis/published/{folder.name}" if published else folder.name


def score_of(folder: StudyFolder) -> str:
    """The name of a study's score: its first objective, or minus that if less is better."""
    metric = folder.goal.objectives[0]
    return f"minus {metric}" if folder.goal.sign < 0 else metric


def aggregate(folder: StudyFolder) -> str:
    """The statistic of the objective over replicas that trials are compared by, in words."""
    return _AGGREGATES[folder.goal.sign][folder.goal.aggregate]


def percentile(folder: StudyFolder) -> str:
    """The percentile of the objective beyond which the worst tenth of the replicas lie."""
    return _AGGREGATES[folder.goal.sign]["p10"]


def failures(folder: StudyFolder) -> str:
    """What makes a replica count as failed, in words."""
    name = folder.goal.objectives[0]
    failure = folder.metrics[name].failure
    worse = "" if failure is None else f", or had {name} {'below' if folder.goal.sign > 0 else 'above'} {failure:g}"
    return f"diverged{worse}"


def favourite(folder: StudyFolder) -> str:
    """The trial that the search found best, in a paragraph of Markdown.

    Raises:
        ValueError: no trial is complete.
    """
    trials, best = folder.trials(), leading(folder)
    if best.empty:
        raise ValueError(f"{folder.path}: no trial is complete, so there is no answer")
    top = best.iloc[0]
    states = trials.state.value_counts()
    states_of = ", ".join(f"{states[state]} {state}" for state in TrialState if state in states)
    planned = folder.manifest()["trials"] or len(trials)
    of = count(len(trials), "setting") if len(trials) >= planned else f"{len(trials)} of {planned} planned settings"
    seeds = len(folder.seeds())
    metric = folder.goal.objectives[0]
    by = (
        ""
        if folder.goal.aggregate == "mean"
        else f", by the {aggregate(folder)} of {metric}, {format_figure(top['value'])},"
    )
    worst = f", {percentile(folder)} {top[f'{metric}.p10']:.3f}, worst seed {top[f'{metric}.min']:.3f}"
    worst = worst if folder.goal.sign > 0 else ""  # these are of the best seeds
    figures = (
        f"mean {metric} {format_figure(top[f'{metric}.mean'])} ± {format_figure(top[f'{metric}.sd'])} "
        f"(sd over {count(seeds, 'seed')}){worst}.**"
    )
    others = [f"{plain(n)} is {top[f'{n}.mean']:.3f}" for n in parts(folder) if n != metric and f"{n}.mean" in top]
    figures += f" Its {' and its '.join(others)}." if others else ""
    if len(trials) == 1:
        return f"**One setting, trained on its own: {figures}"
    ties = [str(trial) for trial in tied_with_best(folder)]
    these = f"these {count(seeds, 'seed')}" if seeds > 1 else "one seed"
    tied = (
        f"Trial{'s' * (len(ties) > 1)} {listed(ties)} cannot be told apart from it by {these} (paired t-test of "
        f"{metric}, p > 0.05)."
        if ties
        else f"No other complete trial is as good (paired t-tests of {metric} over {these}, p < 0.05)."
    )
    ahead = "." if len(folder.confirmation()) else f": `study confirm {html.escape(name_of(folder))}` measures that."
    if "binds" in top:
        return f"**{sentence(none_keeps(folder))}.** Of {of} ({states_of}), {figures.replace('**', '')}"
    return (
        f"**The search's favourite of {of} ({states_of}){by} is trial {top.trial}: {figures} {tied} It was chosen on "
        f"the very seeds that these figures come from. Expect it to do somewhat worse on new seeds{ahead}"
    )


def count(number: int, noun: str) -> str:
    """A number of things.

    >>> count(1, "trial"), count(2001, "step")
    ('1 trial', '2,001 steps')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def listed(items: Sequence[str], last: str = "and", most: int = 5) -> str:
    """Items as a person lists them: all, or the first few and how many others there are.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    >>> listed(["a", "b", "c", "d"], most=2)
    'a, b and 2 others'
    """
    if len(items) > most + 1:
        items = [*items[:most], f"{len(items) - most} others"]
    return f" {last} ".join(filter(None, [", ".join(items[:-1]), items[-1]])) if items else ""


def sentence(text: str) -> str:
    """Text with a capital first letter."""
    return text[:1].upper() + text[1:]


def trials_named(trials: Sequence[int]) -> list[str]:
    return [f"trial {trial}" for trial in trials]


def provenance(folder: StudyFolder) -> str:
    """Where a study's figures come from, as a line of Markdown."""
    manifest = folder.manifest()
    return html.escape(
        f"Study {folder.name} of {manifest['space']}, started {manifest['started']} with seed {manifest['seed']} "
        f"(replica seeds {folder.seeds()[0]} to {folder.seeds()[-1]}) at commit {manifest['commit'] or 'unknown'}, on "
        f"{count(manifest['machine']['cpus'], 'CPU')}.",
        quote=False,
    )


def tied_with_best(folder: StudyFolder, level: float = 0.05) -> list[int]:
    """The complete trials that tie with the best: no more of their replicas failed, and their mean objective is not
    significantly worse by a two-sided paired t-test over the same seeds."""
    order = leading(folder, len(folder.trials())).trial.tolist()
    final = folder.final()
    final = final[final.trial.isin(order)]
    final = final.assign(score=folder.goal.scores(final), failed=folder.goal.failed(final))
    values = final.pivot_table(index="seed", columns="trial", values="score").dropna()
    if len(values) < 2:
        return order[1:]
    best, failures = values[order[0]], final.groupby("trial").failed.sum()
    return [
        t
        for t in order[1:]
        if failures[t] <= failures[order[0]]
        and (
            np.allclose(best, values[t])
            or stats.ttest_rel(best, values[t], alternative="greater").pvalue > level / 2  # of two sides
        )
    ]


def plain(name: str) -> str:
    """A metric's name in a sentence."""
    return name.replace("_", " ")
