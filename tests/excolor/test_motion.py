import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from excolor.dopesheet import Dopesheet, Property
from excolor.motion import TIMINGS, Motion

finite = st.floats(-10, 10)


@given(finite, finite, st.integers(1, 100), finite, finite)
def test_minimum_jerk_begins_as_it_was_and_ends_at_rest(start, target, duration, velocity, acceleration):
    motion = Motion(start, target, duration, "minjerk", velocity / duration, acceleration / duration**2)
    assert motion.state(0) == pytest.approx((start, velocity / duration, acceleration / duration**2))
    curve = motion._polynomial()
    arrival = [float(curve.deriv(k)(duration)) * duration**k for k in range(3)]
    assert arrival == pytest.approx([target, 0, 0], abs=1e-6)
    assert motion.values(np.array([duration, duration + 5])).tolist() == [target, target]


def test_minimum_jerk_from_rest_is_the_formula():
    t = np.linspace(0, 1, 11)[:-1]
    expected = 10 * t**3 - 15 * t**4 + 6 * t**5
    assert Motion(0, 1, 10).values(np.arange(10)) == pytest.approx(expected)


@given(st.floats(0.05, 0.95), finite, st.integers(5, 50))
def test_it_is_the_quintic_that_a_linear_system_gives(when, target, duration):
    """Retargeted in flight: the six coefficients, solved for from value, velocity and acceleration at both ends."""
    first = Motion(1, 5, 40)
    step = 40 * when
    retargeted = first.retarget(step, target, duration)
    value, velocity, acceleration = first.state(step)
    powers = np.arange(6)
    rows = [[np.prod(powers[i] - np.arange(k)) * (x ** max(i - k, 0) if i >= k else 0) for i in powers]
            for x in (0.0, float(duration)) for k in range(3)]  # fmt: skip
    coefficients = np.linalg.solve(rows, [value, velocity, acceleration, target, 0, 0])
    steps = np.arange(duration)
    assert retargeted.values(steps) == pytest.approx(np.polyval(coefficients[::-1], steps), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("timing", TIMINGS)
def test_every_timing_arrives(timing):
    values = Motion(2, 7, 4, timing).values(np.arange(8))
    assert values[0] == 2
    assert values[4:].tolist() == [7] * 4
    assert (np.diff(values) >= 0).all()


def test_a_property_retargeted_in_flight_has_no_kink():
    column = Property("w", "log", "minjerk", (0, 100), (0.01, 1.0))
    table = column.retarget(50, 0.001, 40, 150)
    assert table[:50] == pytest.approx(column.tabulate(150)[:50])
    assert table[90:] == pytest.approx(0.001)
    logs = np.log(table)
    assert np.abs(np.diff(logs, 3)).max() < 0.01  # continuous up to the acceleration
    assert logs[51] > logs[50]  # on its way up still, before it turns


def test_retargeting_before_the_first_key_moves_from_rest():
    table = Property("w", "linear", "linear", (50, 100), (1.0, 2.0)).retarget(10, 3.0, 10, 60)
    assert table[:11].tolist() == [1.0] * 11
    assert table[15] == pytest.approx(2.0)
    assert table[20:].tolist() == [3.0] * 40


def test_phases_and_actions():
    rows = [["STEP", "PHASE", "ACTION", "lr"], ["0", "A", "", "1"], ["5", "", "save, stop", "1"], ["10", "B", "", "1"]]
    sheet = Dopesheet.parse(rows)
    assert [sheet.phase(step) for step in (0, 5, 9, 10)] == ["A", "A", "A", "B"]
    assert sheet.actions() == {5: ("save", "stop")}
