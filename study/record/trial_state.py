"""How a trial ends: the column `state` of trials.parquet."""

from __future__ import annotations

from enum import StrEnum

from optuna.trial import TrialState as OptunaState


class TrialState(StrEnum):
    """How a trial ended. Members are strings, so they compare with the column `state` of a data frame."""

    COMPLETE = "complete"
    """Trained to its last step, with at least one replica that did not diverge."""
    STOPPED = "stopped"
    """Stopped early by the scheduler."""
    DIVERGED = "diverged"
    """Every replica diverged."""
    FAILED = "failed"
    """Ended by an error, a time limit or a worker's death; the column `reason` says which."""

    @property
    def in_optuna(self) -> OptunaState:
        """The state of such a trial in Optuna."""
        return _IN_OPTUNA[self]

    @property
    def shown(self) -> str:
        """The state in a sentence.

        >>> TrialState.STOPPED.shown
        'stopped early'
        """
        return "stopped early" if self is TrialState.STOPPED else self.value


_IN_OPTUNA = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.STOPPED: OptunaState.PRUNED,
    TrialState.DIVERGED: OptunaState.FAIL,
    TrialState.FAILED: OptunaState.FAIL,
}
