from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchoring.dopesheet import Dopesheet, Property
from anchoring.motion import TIMINGS, Motion
from anchoring.training import Training
from excolor.experiment import experiment

finite = st.floats(-10, 10)


@given(finite, finite, st.integers(1, 100), finite, finite)
def test_minimum_jerk_begins_as_it_was_and_ends_at_rest(
    start: Any, target: Any, duration: Any, velocity: Any, acceleration: Any
) -> None:
    motion = Motion(start, target, duration, "minjerk", velocity / duration, acceleration / duration**2)
    assert motion.at(0) == pytest.approx((start, velocity / duration, acceleration / duration**2))
    curve = motion._polynomial()
    arrival = [float(curve.deriv(k)(duration)) * duration**k for k in range(3)]
    assert arrival == pytest.approx([target, 0, 0], abs=1e-6)
    assert motion.values(np.array([duration, duration + 5])).tolist() == [target, target]


def test_minimum_jerk_from_rest_is_the_formula() -> None:
    t = np.linspace(0, 1, 11)[:-1]
    expected = 10 * t**3 - 15 * t**4 + 6 * t**5
    assert Motion(0, 1, 10).values(np.arange(10)) == pytest.approx(expected)


@given(st.floats(0.05, 0.95), finite, st.integers(5, 50))
def test_it_is_the_quintic_that_a_linear_system_gives(when: Any, target: Any, duration: Any) -> None:
    """A motion retargeted in flight has the coefficients that value, velocity and acceleration at both ends imply."""
    first = Motion(1, 5, 40)
    step = 40 * when
    retargeted = first.retarget(step, target, duration)
    value, velocity, acceleration = first.at(step)
    powers = np.arange(6)
    rows = [[np.prod(powers[i] - np.arange(k)) * (x ** max(i - k, 0) if i >= k else 0) for i in powers]
            for x in (0.0, float(duration)) for k in range(3)]  # fmt: skip
    coefficients = np.linalg.solve(rows, [value, velocity, acceleration, target, 0, 0])
    steps = np.arange(duration)
    assert retargeted.values(steps) == pytest.approx(np.polyval(coefficients[::-1], steps), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("timing", TIMINGS)
def test_every_timing_arrives(timing: Any) -> None:
    values = Motion(2, 7, 4, timing).values(np.arange(8))
    assert values[0] == 2
    assert values[4:].tolist() == [7] * 4
    assert (np.diff(values) >= 0).all()


def training_of(setting: Any, rows: Any) -> Any:
    setting = setting.model_copy(update={"regularizers": {}, "schedule": Dopesheet.parse(rows)})
    return Training(experiment, setting, [0], rungs=1)


def test_a_schedule_retargeted_in_flight_has_no_kink_and_keeps_its_past(load: Any, spaces: Path) -> None:
    setting = load(spaces / "subspace-ablation.toml")
    training = training_of(setting, [["STEP", "lr:log"], ["0", "0.01"], ["100", "1"], ["149", "1"]])
    planned = list(training._table["lr"])
    training.retarget("lr", 0.001, 40, now=50)
    once = list(training._table["lr"])
    assert once[:50] == planned[:50]
    assert once[90:] == pytest.approx([0.001] * 60)
    assert once[51] > once[50]  # on its way up still, before it turns
    training.retarget("lr", 0.5, 30, now=70)  # from where it is by now, not from the plan
    twice = list(training._table["lr"])
    assert twice[:70] == once[:70]
    assert twice[100:] == pytest.approx([0.5] * 50)
    assert np.abs(np.diff(np.log(twice), 3)).max() < 0.02  # continuous up to the acceleration


def test_retargeting_before_the_first_key_moves_from_rest(load: Any, spaces: Path) -> None:
    rows = [["STEP", "lr::linear"], ["0", ""], ["50", "1"], ["59", "2"]]
    training = training_of(load(spaces / "subspace-ablation.toml"), rows)
    training.retarget("lr", 3.0, 10, now=10)
    table = list(training._table["lr"])
    assert table[:11] == [1.0] * 11
    assert table[15] == pytest.approx(2.0)
    assert table[20:] == [3.0] * 40
    with pytest.raises(KeyError):
        training.retarget("polar", 1, 1, now=0)


@pytest.mark.parametrize(
    "make", [lambda: Motion(0, 1, 5, "bounce"), lambda: Property("w", "log10", "minjerk", (0,), (1.0,))]
)
def test_unknown_names_are_errors(make: Any) -> None:
    with pytest.raises(ValueError, match=r"bounce|log10"):
        make()


def test_phases_and_actions() -> None:
    rows = [["STEP", "PHASE", "ACTION", "lr"], ["0", "A", "", "1"], ["5", "", "save, stop", "1"], ["10", "B", "", "1"]]
    sheet = Dopesheet.parse(rows)
    assert [sheet.phase(step) for step in (0, 5, 9, 10)] == ["A", "A", "A", "B"]
    assert sheet.actions() == {5: ("save", "stop")}
