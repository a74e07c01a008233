"""What a study costs beside its trainings: its start, and its overhead for each trial."""

from __future__ import annotations

from typing import Any

from benchmarks.figures import Row, Target, once
from benchmarks.searches import search
from benchmarks.settings import ROOT
from study.space.space import Space

SPACE = ROOT / "search_spaces" / "hue.toml"


def studies() -> list[Row]:
    """Rows for a study of 64 trials, compiled and eager."""
    _compile_all()
    return [*_costs("compiled", "--compile"), *_costs("eager", "--no-compile")]


def _costs(kind: str, flag: str) -> list[Row]:
    found = search(SPACE, 64, "--scheduler", "none", flag)
    first, gap = found.starts.min(), found.between_trials
    what = f"64 trials, {kind}"
    return [
        once(f"{what}: first is training after", first, ".1f", " s", Target("≤ 15 s", first <= 15)),
        once(f"{what}: training's share", found.trained, ".0%", "", Target("≥ 85%", found.trained >= 0.85)),
        once(f"{what}: core-seconds around a trial", gap, ".3f", " s", Target("< 0.15 s", gap < 0.15)),
    ]


def _compile_all() -> None:
    """Compile every kind of step of the hue space, so that the cache has them, as in any study but the first."""
    space = Space.read(SPACE)
    experiment: Any = space.experiment
    known: set[str] = set()
    for point in space.corners():
        setting = space.setting(point)
        if not experiment.step_kinds(setting) <= known:
            known |= experiment.step_kinds(setting)
            experiment.train(setting, [0, 1], rungs=1, compiled=True, on_rung=lambda *_: None)
