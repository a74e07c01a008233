"""What is said beside the figures of effects follows what they show."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis import captions
from analysis.responses import Responses

TABLE = pd.DataFrame({"mean": [0.5]})
DRAWN = Responses({"peak": TABLE}, TABLE, 0.4)
TOO_FEW = Responses({}, pd.DataFrame(), np.nan)
POOR = Responses({}, pd.DataFrame(), -0.1)


def test_two_curves_are_compared() -> None:
    found = {"all trials": DRAWN, "trained to the end": DRAWN}
    for text in (captions.of_curves(found), captions.of_costs(found)):
        assert "Both sets of trials are biased" in text
        assert "Where they disagree, conclude nothing" in text
    assert "no curve" not in captions.of_curves(found)


@pytest.mark.parametrize(("missing", "why"), [(TOO_FEW, "fewer than 30"), (POOR, "would not predict new trials")])
@pytest.mark.parametrize("name", ["all trials", "trained to the end"])
def test_of_one_curve_nothing_is_said_of_two(name: Any, missing: Any, why: Any) -> None:
    found = {"all trials": DRAWN, "trained to the end": DRAWN} | {name: missing}
    for text in (captions.of_curves(found), captions.of_costs(found)):
        assert "Both" not in text
        assert "disagree" not in text
    assert f"There is no curve of *{name}*: " in captions.of_curves(found)
    assert why in captions.of_curves(found)


def test_without_curves_nothing_is_said_of_bands() -> None:
    text = captions.of_curves({"all trials": TOO_FEW, "trained to the end": TOO_FEW})
    assert "bands" not in text.lower()
    assert "no curve of *all trials* or of *trained to the end*" in text
