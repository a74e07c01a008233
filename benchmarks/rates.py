"""Replica-steps per second on one core: ours, the paper's way, JAX."""

from __future__ import annotations

from collections.abc import Callable

from anchoring.training import train
from benchmarks import baseline
from benchmarks.figures import Row, Runs, at_least, race, seconds
from benchmarks.rival import jax_rate
from benchmarks.settings import RACED, read
from excolor.experiment import experiment
from excolor.setting import ColorSetting

BASELINE_STEPS = 300  # they take a few seconds
FASTER = {"subspace-ablation": 3.0, "hue-deletion": 2.5, "hue-open": 2.5}
"""How many times as fast as JAX each setting should be trained."""


def rates() -> list[Row]:
    """Rows for each setting, 16 and 64 replicas, and for subspace ablation without compiling and with 10 rungs."""
    rows = []
    for name, path in RACED.items():
        setting = read(path)
        with jax_rate(name, setting) as jax:
            rows += _race(name, setting, jax)
    return rows


def _race(name: str, setting: ColorSetting, jax: Callable[[int], float] | None) -> list[Row]:
    first = name == "subspace-ablation"
    contenders = {"16": ours(setting, 16), "64": ours(setting, 64)}
    if jax:
        contenders |= {"JAX, 16": lambda: jax(16), "JAX, 64": lambda: jax(64)}
    if first:
        contenders |= {
            "16, 10 rungs": ours(setting, 16, rungs=10),
            "eager": ours(setting, 16, compiled=False),
            "baseline": lambda: baseline.train(setting, BASELINE_STEPS)[1],
        }
    for contender in contenders.keys() - {"eager"}:  # compiling and importing should not count
        contenders[contender]()
    ran = race(contenders)
    rows = [_row(f"{name}, 16 replicas", ran, "16", FASTER[name], times=900 if first else None)]
    rows.append(_row(f"{name}, 64 replicas", ran, "64", FASTER[name]))
    if first:
        rows.append(_row(f"{name}, 16 replicas, 10 rungs", ran, "16, 10 rungs"))
        rows.append(_row(f"{name}, 16 replicas, eager", ran, "eager", times=60))
    return rows


def ours(setting: ColorSetting, replicas: int, rungs: int = 1, compiled: bool = True) -> Callable[[], float]:
    """A function that trains once, and returns the replica-steps per second from call to return."""
    work = replicas * len(setting.schedule)
    return lambda: work / seconds(lambda: train(experiment, setting, range(replicas), compiled=compiled, rungs=rungs))


def _row(what: str, ran: dict[str, Runs], name: str, faster: float | None = None, times: float | None = None) -> Row:
    """A row that compares our rate with the others. The targets are `faster` x JAX's and `times` x the baseline's."""
    rivals = {"JAX": (ran.get(f"JAX, {name}"), faster), "baseline": (ran.get("baseline"), times)}
    ratios = {rival: ran[name] / run for rival, (run, _) in rivals.items() if run}
    targets = [
        at_least(ratios[rival], least, f"≥ {least:g}x {rival}")
        for rival, (_, least) in rivals.items()
        if least and rival in ratios
    ]
    (jax, _), (paper, _) = rivals.values()
    said = "\n".join(f"{ratio} {rival}" for rival, ratio in ratios.items())
    return Row(f"replica-steps/s, {what}", ran[name], paper or "-", jax or "-", said or "-", tuple(targets))
