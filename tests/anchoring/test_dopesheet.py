import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anchoring import InputError
from anchoring.dopesheet import Dopesheet, Property, rescale, resolve_steps


def sheet(text: str) -> Dopesheet:
    return Dopesheet.parse([line.split(",") for line in text.strip().splitlines()], "sheet.csv")


def minimum_jerk(t: float) -> float:
    return 10 * t**3 - 15 * t**4 + 6 * t**5


@pytest.mark.parametrize(
    ("cells", "steps"),
    [
        (["0", "10", "5"], [0, 10, 5]),
        (["0", "+10", "-10", "100"], [0, 10, 90, 100]),
        (["0", "+0.5", "1000", "+0.5", "2000"], [0, 500, 1000, 1500, 2000]),
        (["0", "-0.25", "100"], [0, 75, 100]),
        (["0", "+0.5", "5", "+0.5", "8"], [0, 2, 5, 6, 8]),  # 2.5 and 6.5 to even
        (["100", "+10", "+20", "200"], [100, 110, 120, 200]),  # offsets do not count from relative rows
        (["0", "+.5", "10"], [0, 5, 10]),
    ],
)
def test_steps(cells: Any, steps: Any) -> None:
    assert resolve_steps(cells) == steps


@pytest.mark.parametrize(
    ("cells", "row", "expected"),
    [
        (["+10", "100"], 2, "a row above with an absolute step"),
        (["0", "-10"], 3, "a row below with an absolute step"),
        (["0", "+0.5"], 3, "rows above and below with absolute steps"),
        (["0", "+1.5", "10"], 3, "a fraction"),
        (["0", "+0.0", "10"], 3, "a fraction"),
        (["0", "1e3"], 3, "a step (1000)"),
        (["", "10"], 2, "a step (1000)"),
        (["0", "-20", "10"], 3, "a step from 0"),
        (["0", "99999999999"], 3, "a step from 0 to 10,000,000"),
    ],
)
def test_wrong_steps_are_located(cells: Any, row: Any, expected: Any) -> None:
    with pytest.raises(InputError) as error:
        resolve_steps(cells, "sheet.csv")
    assert str(error.value).startswith(f"sheet.csv: row {row}, column STEP: found ")
    assert expected in str(error.value)


def test_a_property_holds_its_first_and_last_keys() -> None:
    table = sheet("STEP,PHASE,ACTION,lr,w\n0,Train,,1,\n10,,,,5\n20,,,3,7\n30,,,,").table()
    assert len(table["lr"]) == 31
    assert table["w"][:11].tolist() == [5.0] * 11
    assert table["w"][20:].tolist() == [7.0] * 11
    assert table["lr"][5] == pytest.approx(1 + 2 * minimum_jerk(0.25))


@given(
    st.sampled_from(["linear", "log"]),
    st.sampled_from(["minjerk", "linear", "step", "step-end"]),
    st.lists(st.tuples(st.integers(1, 50), st.floats(1e-6, 1e3)), min_size=1, max_size=6),
)
def test_tabulation_is_the_plain_formula(space: Any, timing: Any, gaps: Any) -> None:
    steps = tuple(int(s) for s in np.cumsum([gap for gap, _ in gaps]))
    values = tuple(value for _, value in gaps)
    table = Property("w", space, timing, steps, values).tabulate(steps[-1] + 5)

    def plain(step: int) -> float:
        if step < steps[0]:
            return values[0]
        if step >= steps[-1]:
            return values[-1]
        i = max(i for i, s in enumerate(steps) if s <= step)
        t = (step - steps[i]) / (steps[i + 1] - steps[i])
        moved = {"minjerk": minimum_jerk(t), "linear": t}.get(timing, 0.0)
        if space == "log":
            return math.exp(math.log(values[i]) * (1 - moved) + math.log(values[i + 1]) * moved)
        return values[i] * (1 - moved) + values[i + 1] * moved

    assert table == pytest.approx([plain(step) for step in range(len(table))], rel=1e-6, abs=1e-9)


def test_log_space_has_a_floor() -> None:
    table = sheet("STEP,lr:log:linear\n0,0\n10,1").table()["lr"]
    assert table[0] == pytest.approx(1e-10)
    assert table[5] == pytest.approx(1e-5)


def test_rows_are_sorted_and_actions_split() -> None:
    parsed = sheet("STEP,PHASE,ACTION,lr\n10,B,,1\n0,A,save,2\n20,,stop,3".replace("save", "save"))
    assert [(row.step, row.phase, row.actions) for row in parsed.rows] == [
        (0, "A", ("save",)),
        (10, "B", ()),
        (20, "", ("stop",)),
    ]
    assert parsed.properties[0].values == (2, 1, 3)
    two = Dopesheet.parse([["STEP", "ACTION", "lr"], ["0", "save, stop", "1"]])
    assert two.rows[0].actions == ("save", "stop")


def test_if_two_rows_have_one_step_the_later_wins() -> None:
    assert sheet("STEP,lr\n0,1\n10,2\n10,3").table()["lr"][10] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr\n1", "row 1: found no column STEP"),
        ("STEP,lr\n", "found no rows"),
        ("STEP,lr\n0,x", "row 2, column lr: found 'x', expected a number"),
        ("STEP,lr\n0,nan", "row 2, column lr: found 'nan'"),
        ("STEP,lr\n0,1,2", "row 2: found 3 cells, expected 2"),
        ("STEP,lr,lr:log\n0,1,1", "found column lr twice"),
        ("STEP,lr:cubic\n0,1", "space 'cubic', expected one of linear, log"),
        ("STEP,lr:log:bounce\n0,1", "timing 'bounce', expected one of minjerk"),
        ("STEP,lr:log:step:x\n0,1", "expected name, name:space or name:space:timing"),
        ("STEP,lr,w\n0,1,", "column w: found no values"),
        ("STEP,,lr\n0,1,1", "row 1, column 2: found ''"),
    ],
)
def test_wrong_sheets_are_located(text: Any, message: Any) -> None:
    with pytest.raises(InputError, match=r"^sheet\.csv: ") as error:
        sheet(text)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


TEXT = [["STEP", "lr"], ["0", "1"], ["+10", "2"], ["1000", "3"], ["+0.5", "4"], ["2000", "5"]]


def test_rescaling_moves_steps_and_offsets_alike() -> None:
    assert [row[0] for row in rescale(TEXT, 501)[1:]] == ["0", "+2", "250", "+0.5", "500"]
    assert [row[0] for row in rescale(TEXT, 5)[1:]] == ["0", "+1", "2", "+0.5", "4"]
    assert rescale(TEXT, 2001) == TEXT


@given(st.integers(3, 5000))
def test_a_rescaled_sheet_has_the_length_asked_for(length: Any) -> None:
    assert len(Dopesheet.parse(rescale(TEXT, length))) == length
    ends_relative = [["STEP", "lr"], ["0", "1"], ["1000", "3"], ["+500", "4"]]
    assert len(Dopesheet.parse(rescale(ends_relative, length))) == pytest.approx(length, abs=1)


@pytest.mark.parametrize("text", [[["STEP", "lr"], ["0", "1"]], [["STEP", "lr"], ["0", "1"], ["+5", "1"], ["+9", "1"]]])
def test_lengths_that_rounding_makes_impossible_are_errors(text: Any) -> None:
    with pytest.raises(InputError, match=r"rescaled to \d+, expected \d"):
        rescale(text, 2 if len(text) < 3 else 1)
