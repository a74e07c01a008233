from typing import Any

import pandas as pd
import pytest

from benchmarks import supervision
from excolor.experiment import SPACES
from excolor.published import PUBLISHED
from study import read


@pytest.mark.parametrize("concept", ["hue", "red"])
def test_settings_with_fewer_or_wrong_labels_differ_in_nothing_else(concept: Any) -> None:
    shipped = read(SPACES / f"{concept}-isolated.toml").setting()
    kept = set(shipped.model_dump()) - {"labels", "schedule"}
    scales = []
    for change in supervision.SHARES[concept]:
        fewer = supervision.fewer(concept, change)
        assert len(fewer.schedule) == len(shipped.schedule)
        assert fewer.model_dump(include=kept) == shipped.model_dump(include=kept)
        scales.append({label.scale for label in fewer.labels.values()})
    assert all(len(scale) == 1 for scale in scales)
    assert scales == sorted(scales, key=max)
    noisy = supervision.noisy(concept, 0.25)
    assert {label.noise for label in noisy.labels.values()} == {0.25}
    assert noisy.model_dump(exclude={"labels"}).keys() == shipped.model_dump(exclude={"labels"}).keys()


def test_all_panels_show_both_concepts() -> None:
    rows = [
        {"concept": concept, "over": over, "noise": x, "share": x, "mean": 0.9, "min": 0.8}
        for concept in ("hue", "red")
        for over in ("share", "noise", "corrected noise")
        for x in (0.1, 0.2)
    ]
    share, noise, corrected = supervision.draw(pd.DataFrame(rows)).axes
    assert len([line for line in share.lines if len(line.get_xdata()) == 2 and line.get_marker() == "o"]) == 2  # type: ignore[arg-type]
    assert noise.get_xlabel() == "probability that a label is wrong"
    assert len(corrected.lines) == 4


def test_poles_are_moved_apart_by_as_much_as_noise_draws_them_together() -> None:
    at = supervision.noisy("red", 0.25, corrected=True).regularizers["red"].at
    plain = supervision.noisy("red", 0.25).regularizers["red"].at
    assert plain == {"red": 2.0, "not-red": 0.0}
    for name, other in (("red", "not-red"), ("not-red", "red")):  # where the one label is certain
        assert 0.75 * at[name] + 0.25 * at[other] == pytest.approx(plain[name])


def test_what_was_published_is_of_a_shipped_setting_and_of_a_metric_that_it_has() -> None:
    for name, told in PUBLISHED.items():
        space = read(SPACES / f"{name}.toml")
        assert told.score in space.metrics()
        assert told.least < told.mean < told.most
