"""Replica-steps per second in subspace ablation, on one core: ours, the paper's way, JAX."""

from __future__ import annotations

from collections.abc import Callable

from anchoring.training import train
from benchmarks import baseline
from benchmarks.figures import Row, Runs, at_least, race, seconds
from excolor.experiment import experiment
from excolor.setting import ColorSetting

BASELINE_STEPS = 300  # they take a few seconds


def rates(setting: ColorSetting, jax: Callable[[int], float] | None) -> list[Row]:
    """Rows for 16 replicas, compiled and eager, and for 64 compiled."""

    def ours(replicas: int, compiled: bool) -> Callable[[], float]:
        work = replicas * len(setting.schedule)
        return lambda: work / seconds(lambda: train(experiment, setting, range(replicas), compiled=compiled, rungs=1))

    contenders = {
        "baseline": lambda: baseline.train(setting, BASELINE_STEPS)[1],
        "compiled": ours(16, True),
        "eager": ours(16, False),
        "compiled, 64": ours(64, True),
    }
    if jax:
        contenders |= {"JAX": lambda: jax(16), "JAX, 64": lambda: jax(64)}
    for name in contenders.keys() - {"eager"}:  # compiling and importing should not count
        contenders[name]()
    ran = race(contenders)
    return [
        _row("replica-steps/s, 16 replicas, compiled", ran, "compiled", "JAX", 400),
        _row("replica-steps/s, 64 replicas, compiled", ran, "compiled, 64", "JAX, 64"),
        _row("replica-steps/s, 16 replicas, eager", ran, "eager", "", 60),
    ]


def _row(what: str, ran: dict[str, Runs], ours: str, jax: str, least: float | None = None) -> Row:
    """A row that compares our figure with the baseline's and JAX's. The target is `least` times the baseline's."""
    by_baseline = ran[ours] / ran["baseline"]
    ratios = [f"{by_baseline} baseline"]
    targets = [at_least(by_baseline, least, f"≥ {least:.0f}x baseline")] if least else []
    if jax in ran:
        by_jax = ran[ours] / ran[jax]
        ratios.append(f"{by_jax} JAX")
        targets.append(at_least(by_jax, 1, "≥ JAX"))
    return Row(what, ran[ours], ran["baseline"], ran.get(jax, "-"), "\n".join(ratios), tuple(targets))
