"""Whether compiling pays, by how long trainings are and how many kinds of step they need."""

from pathlib import Path

import pytest

import study
from study.search.compiling import worth_compiling
from study.search.plan import Plan

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize(
    ("plan", "pays"),
    [
        (Plan(trials=60), True),
        (Plan(trials=None, minutes=5), True),
        (Plan(trials=1, seeds=64), True),
        (Plan(trials=10, seeds=2, steps=60), False),
        (Plan(trials=1, seeds=2), False),
    ],
)
def test_one_kind_of_step_is_compiled_for_long_studies(spaces: Path, plan: Plan, pays: bool) -> None:
    assert worth_compiling(study.read(spaces / "hue-labels.toml", plan.steps or 2000), plan) == pays


@pytest.mark.parametrize("trials", [1, 20, 1000])
def test_where_each_setting_has_a_kind_of_its_own_each_has_to_be_long(trials: int) -> None:
    """A thousand short trainings are as many compilations, which never pay."""
    space = study.read(EXAMPLES / "digits" / "digits.toml", experiment=EXAMPLES / "digits" / "digits.py")
    assert worth_compiling(space, Plan(trials=trials, seeds=4))
    assert not worth_compiling(space, Plan(trials=trials, seeds=2))
