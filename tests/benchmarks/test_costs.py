"""The tables of what work costs are measured piece by piece, and the graph shows which are there."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks import costs, driver


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(driver, "DATA", tmp_path)
    monkeypatch.setattr(costs, "DATA", tmp_path)
    monkeypatch.setattr(costs, "HERE", tmp_path)
    return tmp_path


def test_a_row_takes_the_place_of_the_one_with_its_key(data: Path) -> None:
    driver.measured("workers.csv", "workers", [{"workers": 32, "busy": 0.5}, {"workers": 2, "busy": 1.0}])
    driver.measured("workers.csv", "workers", [{"workers": 32, "busy": 0.9}])
    assert pd.read_csv(data / "workers.csv").to_dict("list") == {"workers": [2, 32], "busy": [1.0, 0.9]}


def test_a_measurement_that_fails_keeps_what_came_before(data: Path) -> None:
    rows = ({"trials": trials, "ms": 60 / trials} for trials in (10, 0))
    with pytest.raises(ZeroDivisionError):
        driver.measured("trials.csv", "trials", rows)
    assert pd.read_csv(data / "trials.csv").trials.tolist() == [10]


def test_the_graph_has_what_is_measured(data: Path) -> None:
    costs.draw()
    empty = (data / "costs.png").read_bytes()
    driver.measured("driver-workers.csv", "workers", [{"workers": 2, "busy": 1.0}, {"workers": 4, "busy": 0.9}])
    costs.draw()
    assert (data / "costs.png").read_bytes() != empty
