"""Training all replicas of a setting at once, and measuring them at every rung."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from anchoring.authored import Authored
from anchoring.replicas import Replicas
from anchoring.segments import Rung, Segment, Training, rung_steps

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

__all__ = ["Rung", "Segment", "Training", "rung_steps", "train"]


def train(
    experiment: Authored,
    setting: Any,
    seeds: Sequence[int],
    *,
    rungs: int = 10,
    compiled: bool = False,
    on_rung: Callable[[Rung, Replicas], None] | None = None,
    callbacks: Sequence[Callback] = (),
    **flags: Any,
) -> tuple[Replicas, list[Rung]]:
    """Train one replica of a setting for each seed.

    Args:
        experiment: the experiment that the setting is for.
        setting: what is trained.
        seeds: one for each replica.
        rungs: how often the replicas are measured.
        compiled: whether steps are native code, which pays unless the training is short.
        on_rung: called with each rung and the replicas as they are then. If it raises, training ends.
        callbacks: Lightning callbacks. Their batches are `Segment`s.
        flags: arguments of Lightning's `Trainer`. Without callbacks and flags, replicas are trained without Lightning.

    Returns:
        The trained replicas, and what was measured at each rung.

    Raises:
        InputError: the model, the loss or a term cannot be vectorised, or metrics are not as declared.

    Examples:
        >>> from excolor.experiment import Colors
        >>> rows = [["STEP", "lr"], ["0", "0.01"], ["99", ""]]
        >>> setting = Colors().setting({"schedule": {"file": "lr.csv", "rows": rows}})
        >>> replicas, rungs = train(Colors(), setting, seeds=[0, 1, 2], rungs=2)
        >>> [(rung.step, list(rung.metrics["isolation"].shape)) for rung in rungs]
        [(50, [3]), (100, [3])]
    """
    found: list[Rung] = []

    def measure(training: Training, segment: Segment) -> None:
        if segment.end in training.rung_steps:
            found.append(training.rung(segment.end))
            if on_rung:
                on_rung(found[-1], training.model)

    if callbacks or flags:
        from anchoring.lightning import LightningTraining, fit  # takes seconds to import

        watched = LightningTraining(experiment, setting, seeds, rungs, compiled)
        fit(watched, measure, callbacks, **flags)
        return watched.model, found
    training = Training(experiment, setting, seeds, rungs, compiled)
    for segment in training.segments():
        training.take(segment)
        measure(training, segment)
    return training.model, found
