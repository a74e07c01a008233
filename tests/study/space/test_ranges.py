from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from anchoring import InputError
from study.space.ranges import parse


@pytest.mark.parametrize(
    ("text", "name", "distribution"),
    [
        ("uniform(0, 1)", None, FloatDistribution(0, 1)),
        ("log(1e-4, 1e-1)", None, FloatDistribution(1e-4, 1e-1, log=True)),
        (" log( 1e-4 ,1e-1 ) ", None, FloatDistribution(1e-4, 1e-1, log=True)),
        ("int(-3, 5)", None, IntDistribution(-3, 5)),
        ("choice(10, 30, 100)", None, CategoricalDistribution([10, 30, 100])),
        ("choice(1, 2.5)", None, CategoricalDistribution([1.0, 2.5])),
        ("choice(ColorMLP, 'NormedColorMLP')", None, CategoricalDistribution(["ColorMLP", "NormedColorMLP"])),
        ("choice(true, false)", None, CategoricalDistribution([True, False])),
        ("peak = log(1e-3, 1)", "peak", FloatDistribution(1e-3, 1, log=True)),
        ("lr.peak-2=int(1,2)", "lr.peak-2", IntDistribution(1, 2)),
    ],
)
def test_ranges(text: Any, name: Any, distribution: Any) -> None:
    assert parse(text, "here") == (name, distribution)


@pytest.mark.parametrize("text", ["", "0.5", "red", "1e-8", "a b", "encoder", "two words = 3"])
def test_what_is_no_range(text: Any) -> None:
    assert parse(text, "here") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("uniform(1, 0)", "low < high"),
        ("uniform(1, 1)", "low < high"),
        ("log(0, 1)", "low > 0"),
        ("log(-1, 1)", "low > 0"),
        ("log(1e-300, 1e300)", "a finite ratio"),
        ("log(1)", "two numbers, log(low, high)"),
        ("uniform(a, 1)", "two numbers"),
        ("uniform(nan, 1)", "two numbers"),
        ("uniform(0, inf)", "two numbers"),
        ("uniform(0, 1, 2)", "two numbers"),
        ("int(0.5, 2)", "whole numbers"),
        ("lgo(1, 2)", "uniform(a, b), log(a, b), int(a, b) or choice"),
        ("choice(1)", "at least two"),
        ("choice(1, 1)", "at least two choices, all distinct"),
        ("choice()", "choices that are numbers, words"),
        ("choice(1, red)", "choices of one kind"),
        ("choice(1, true)", "choices of one kind"),
        ("choice(__import__('os'), 1)", "choices that are numbers"),
        ("1x = log(1, 2)", "a name before"),
    ],
)
def test_wrong_ranges_say_what_was_expected(text: Any, expected: Any) -> None:
    with pytest.raises(InputError) as error:
        parse(text, "hue.toml: model.hidden")
    assert str(error.value).startswith(f"hue.toml: model.hidden: found {text!r}, expected ")
    assert expected in str(error.value)


@given(st.text(max_size=60) | st.from_regex(r"\w*\s*=?\s*(uniform|log|int|choice)\(.*\)", fullmatch=True))
def test_any_text_is_a_range_or_none_or_a_located_error(text: Any) -> None:
    try:
        parse(text, "here")
    except InputError as error:
        assert str(error).startswith("here: found ")  # noqa: PT017
