"""Was early stopping safe? The trials that were exempted from it tell."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from scipy import stats

from analysis.effects import noise
from analysis.words import count, listed
from study import StudyFolder
from study.evidence.comparing import replica_steps
from study.record.trial_state import TrialState


@dataclass(frozen=True)
class Audit:
    """What stopping early cost and saved.

    Attributes:
        ranks: a row per rung, by step: Spearman's correlation between the trials' scores at the rung and at the end,
            with its 95% interval (Fisher's z). It is taken over the trials that were trained to the end.
        exempted: how many trials would have been stopped, but were trained to the end.
        winners: the exempted trials that keep the constraints and ended better than every complete trial.
        tied: how many other exempted trials seeds cannot tell from the best. 0 if the objective is not a mean.
        stopped: how many trials were stopped for good.
        chance: the 95% interval (Wilson) of the chance that a stopped trial would have won.
        saved: the share of all replicas' steps that stopping saved.
    """

    ranks: pd.DataFrame
    exempted: int
    winners: list[int]
    tied: int
    stopped: int
    chance: tuple[float, float]
    saved: float


def whole(folder: StudyFolder) -> pd.DataFrame:
    """The trials that were trained to the end, complete or exempted.

    Their `value` is the score at the end, and `feasible` says whether they keep the constraints there.
    """
    trials, final = folder.trials(), folder.final()
    trials = trials[(trials.state == TrialState.COMPLETE) | trials.audited]
    parts, goal = dict(tuple(final[final.trial.isin(trials.trial)].groupby("trial"))), folder.goal
    scores = {trial: goal.score(rows) for trial, rows in parts.items()}
    kept = {trial: goal.keeps(rows) for trial, rows in parts.items()}
    return trials.assign(value=trials.trial.map(scores), feasible=trials.trial.map(kept).eq(True))


def audit(folder: StudyFolder) -> Audit:
    """The audit of a study. Without exempted trials, its ranks are biased: complete trials alone survived selection."""
    trials, goal, ended, rows = folder.trials(), folder.goal, whole(folder), folder.replicas()
    rows = rows[rows.trial.isin(ended.trial)]
    scores = pd.Series({key: goal.score(part) for key, part in rows.groupby(["trial", "step"])}).unstack()
    table = {}
    for step in scores.columns[:-1]:
        pair = scores[[step, scores.columns[-1]]].dropna()
        if len(pair) > 3 and pair.nunique().min() > 1:
            rank = stats.spearmanr(*pair.to_numpy().T).statistic
            low, high = stats.pearsonr(*pair.rank().to_numpy().T).confidence_interval()
            table[step] = {"rank correlation": rank, "low": low, "high": high, "trials": len(pair)}
    exempted, answers = int(trials.audited.sum()), ended[ended.feasible]
    complete, candidates = answers[~answers.audited], answers[answers.audited]
    best = complete.value.max()
    winners = candidates.trial[candidates.value > best].tolist()
    by_seeds = noise(complete, len(folder.seeds()), goal.objectives[0]) if goal.aggregate == "mean" else 0
    tied = int((candidates.value > best - by_seeds).sum()) - len(winners) if by_seeds > 0 else 0
    interval = stats.binomtest(len(winners), exempted).proportion_ci(method="wilson") if exempted else None
    steps = len(folder.space.setting(folder.parameters(int(trials.trial.iloc[0]))).schedule)
    stopped = trials[(trials.state == TrialState.STOPPED) & ~trials.audited]
    whole_trial, done = steps * len(folder.seeds()), replica_steps(folder)
    saved = float((whole_trial - stopped.trial.map(done).fillna(0)).sum() / (whole_trial * len(trials)))
    chance = (float(interval.low), float(interval.high)) if interval else (0.0, 1.0)
    return Audit(pd.DataFrame(table).T, exempted, winners, tied, len(stopped), chance, saved)


def in_words(found: Audit) -> str:
    """The audit in a paragraph of Markdown."""
    saved = f"Stopping early saved {found.saved:.0%} of all optimizer steps."
    if not found.exempted:
        return (
            f"{saved} What it cost is not known, since no trial was exempted: `study run --audit 0.1` exempts a tenth."
        )
    winners = [str(trial) for trial in found.winners]
    lost = "a better trial" if len(winners) == 1 else "better trials"
    verdict = f"lost {lost}" if winners else "did not visibly lose a better trial"
    won = f"{len(winners) or 'None'} of them ended better than every complete trial"
    won += f" (trial {listed(winners, most=9)})" if winners else ""
    tied = f" Seeds alone cannot tell {found.tied} of them from the best." if found.tied else ""
    low, high = found.chance
    would = f"{count(found.exempted, 'trial')} that the scheduler would have stopped"
    return (
        f"**Stopping early {verdict}.** {saved} {would} {'was' if found.exempted == 1 else 'were'} trained to the end "
        f"all the same. {won}.{tied} The chance that a stopped trial would have won is {low:.0%} to {high:.0%} (95% "
        f"interval). That is at most {found.stopped * high:.0f} of the {found.stopped} that were stopped for good."
    )


def exempted_table(folder: StudyFolder, ended: pd.DataFrame, n: int = 5) -> pd.DataFrame:
    """The exempted trials that ended best and keep the constraints, compared with the best complete trial."""
    ended, metric = ended[ended.feasible], folder.goal.objectives[0]
    best = ended[~ended.audited].value.max()
    exempted = ended[ended.audited].sort_values("value", ascending=False).head(n)
    sign = folder.goal.sign
    return pd.DataFrame(
        {
            "would have been stopped after": exempted.steps.map("{:,} steps".format),
            f"{metric} at the end": (sign * exempted.value).map("{:.3f}".format),
            "better than the best by": (exempted.value - best).map("{:+.3f}".format),
        }
    ).set_index(("trial " + exempted.trial.astype(str)).rename(None))


def unknown(found: Audit) -> str:
    """What the audit leaves open, as a list in Markdown."""
    lines = [
        "What the sampler would have proposed if it had seen the ends of the stopped trials.",
        "Whether the same scheduler is safe in another search, with fewer trials or where slow starters win.",
    ]
    if found.exempted:
        lines.insert(
            0,
            f"Whether a stopped trial has a chance of winning below {found.chance[1]:.0%}: "
            f"{count(found.exempted, 'exempted trial')} cannot exclude it.",
        )
    else:
        lines.insert(0, "What stopping cost: no trial was exempted. `study run --audit 0.1` exempts a tenth.")
    return "\n".join(f"- {line}" for line in lines)
