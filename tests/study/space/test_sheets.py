"""Dopesheets as editors and spreadsheets of any country save them: read as what they mean, or refused for the right reason."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import study
from anchoring import InputError
from anchoring.dopesheet import Dopesheet, resolve_steps
from study.space.space import Space

TOML = """
title = "Sheets"
schedule = "sheet.csv"
[labels]
vibrant = { of = "vibrancy", power = 100, scale = 0.5 }
[regularizers.planar]
term = "Subspace"
dims = [0, 1]
labels = { vibrant = 1.0 }
[ablation]
layer = "encoder"
dims = [0, 1]
"""

PLAIN = """STEP,PHASE,ACTION,lr,planar
0,Train,,1e-8,"log(1e-3, 1)"
+10,,,0.01,
1000,,,0.001,2
"""

SAVED = {
    "as it is": PLAIN.encode(),
    "space in the header": PLAIN.replace("STEP,PHASE", "STEP , PHASE").encode(),
    "space around cells": PLAIN.replace(",", " , ").replace("1e-3 , 1", "1e-3, 1").encode(),
    "space before a quote": PLAIN.replace(",", ", ").encode(),
    "space after a quote": PLAIN.replace('1)"', '1)"  ').encode(),
    "every cell quoted": b'"STEP","PHASE","ACTION","lr","planar"\n"0","Train","","1e-8","log(1e-3, 1)"\n'
    b'"+10","","","0.01",""\n"1000","","","0.001","2"\n',
    "a byte order mark": PLAIN.encode("utf-8-sig"),
    "lines of Windows": PLAIN.replace("\n", "\r\n").encode(),
    "lines of an old Mac": PLAIN.replace("\n", "\r").encode(),
    "empty columns and rows": (PLAIN.replace("\n", ",,\n") + ",,,,,,\n,,,,,,\n").encode(),
    "a separator that Excel names": b"sep=,\r\n" + PLAIN.encode(),
    "no-break spaces": PLAIN.replace("0.01,", "\xa00.01\xa0,").encode(),
    "semicolons": b"STEP;PHASE;ACTION;lr;planar\n0;Train;;1e-8;log(1e-3, 1)\n+10;;;0.01;\n1000;;;0.001;2\n",
    "German": b"\xef\xbb\xbfSTEP;PHASE;ACTION;lr;planar\r\n0;Train;;1,00E-08;log(1e-3, 1)\r\n+10;;;0,01;\r\n1000;;;0,001;2\r\n",
    "Excel's Unicode text": PLAIN.replace(",", "\t").replace("1e-3\t 1", "1e-3, 1").encode("utf-16"),
}


def sheet(folder: Path, content: bytes) -> Space:
    (folder / "sheet.toml").write_text(TOML)
    (folder / "sheet.csv").write_bytes(content)
    return study.read(folder / "sheet.toml")


@pytest.mark.parametrize("content", SAVED.values(), ids=SAVED.keys())
def test_a_sheet_is_read_however_it_was_saved(tmp_path: Path, content: bytes) -> None:
    space = sheet(tmp_path, content)
    assert list(space.distributions) == ["planar@0"]
    schedule = space.setting({"planar@0": 0.5}).schedule
    assert [row.step for row in schedule.rows] == [0, 10, 1000]
    assert [(p.name, p.steps, p.values) for p in schedule.properties] == [
        ("lr", (0, 10, 1000), (1e-8, 0.01, 0.001)),
        ("planar", (0, 1000), (0.5, 2.0)),
    ]


REFUSED = {
    "an offset without its sign": (PLAIN + "200,,,,0\n", "row 5, column STEP: found 200, which is below 1000 above it"),
    "a fraction without its sign": (PLAIN.replace("+10", "0.5"), "column STEP: found '0.5', expected a step"),
    "a decimal comma": (PLAIN.replace("0.01", '"0,01"'), "column lr: found '0,01', expected a number"),
    "German commas": ("STEP,lr\n0,0,01\n", "row 2: found 3 cells, expected 2"),
    "Latin-1": (PLAIN.replace("Train", "\udce4"), "sheet.csv: not UTF-8"),
    "a quote without end": (PLAIN.replace('1)"', "1)"), "sheet.csv: not valid CSV"),
}


@pytest.mark.parametrize(("text", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_meant_is_refused_for_the_right_reason(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError) as refused:
        sheet(tmp_path, text.encode(errors="surrogateescape"))
    assert message in str(refused.value)


@given(st.lists(st.tuples(st.sampled_from(["5", "+5", "10", "+0.5"]), st.integers(1, 9)), max_size=6))
def test_of_rows_with_one_step_the_last_wins(rows: list[tuple[str, int]]) -> None:
    """The authors' own implementation does the same."""
    cells = [["STEP", "lr"], ["0", "0"], *([step, str(value)] for step, value in rows), ["20", "0"]]
    steps = resolve_steps([row[0] for row in cells[1:]])
    (lr,) = Dopesheet.parse(cells).properties
    assert dict(zip(lr.steps, lr.values, strict=True)) == dict(
        zip(steps, (float(v) for _, v in cells[1:]), strict=True)
    )
