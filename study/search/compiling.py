"""Whether a study's training steps are compiled: as asked, or where native code pays."""

from __future__ import annotations

from typing import Any

from study.search.plan import Plan
from study.space.space import Space
from study.watch.screen import console

WORTH_COMPILING = 5_000
"""Compiling a step takes as long as this many replica-steps take longer eagerly, roughly."""

EAGER_SPEED = 9_000
"""Replica-steps a second of one worker, roughly."""


def kinds_of(space: Space, setting: Any) -> set[str] | None:
    """The kinds of native code that a setting's training runs; None if its experiment has no native code."""
    step_kinds = getattr(space.experiment, "step_kinds", None)
    return None if step_kinds is None else set(step_kinds(setting))


def worth_compiling(space: Space, plan: Plan) -> bool:
    """Whether the plan's trainings end sooner with compiled steps, even if these have to be compiled first.

    They do unless they are short for the number of kinds of step that different settings are expected to need, each
    compiled for itself. Without native code there is nothing to compile.
    """
    kinds: set[str] = set()
    points = steps = new = 0
    for point in space.corners():
        setting = space.setting(point)
        if (found := kinds_of(space, setting)) is None:
            return False
        points, steps, new = points + 1, len(setting.schedule), new + (not found <= kinds)
        kinds |= found
    trials = plan.trials or (plan.minutes or 0) * 60 * EAGER_SPEED * plan.workers / (plan.seeds * steps)
    expected = float(len(kinds))
    if new > max(1, points / 2):  # there are more than were met
        expected = max(expected, trials * new / points)
    return trials * plan.seeds * steps >= WORTH_COMPILING * min(expected, trials)


def decide_compiled(plan: Plan, space: Space) -> Plan:
    """The plan with `compiled` decided. Says so if steps should be compiled but there is no compiler."""
    if getattr(space.experiment, "step_kinds", None) is None:
        return plan.but(compiled=False)
    wanted = worth_compiling(space, plan) if plan.compiled is None else plan.compiled
    missing = getattr(space.experiment, "cannot_compile", str)() if wanted else ""
    if missing:
        console.print(
            f"{missing}: training runs eagerly, several times slower", markup=False, highlight=False, soft_wrap=True
        )
    return plan.but(compiled=wanted and not missing)
