"""Figures and tables as they reach a page."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis import page
from study.experiment import Section


def scattered(n: Any) -> Any:
    figure = Figure(figsize=(4, 3))
    axis = figure.subplots()
    axis.scatter(  # type: ignore[misc]
        *np.random.default_rng(0).random((2, n)), s=[20, 30] * (n // 2), urls=[f"{i} < 'you'" for i in range(n)]
    )
    return figure


def test_every_point_of_an_svg_tells_its_own_text() -> None:
    for n in (2, 200):  # of few points matplotlib writes paths, of many it writes uses
        text = page.svg(scattered(n), "points", 'a "good" figure')
        root = ElementTree.fromstring(text)
        titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
        assert titles == [f"{i} < 'you'" for i in range(n)]
        assert (root.get("role"), root.get("aria-label"), root.get("width")) == ("img", 'a "good" figure', "400")
        assert not re.search("<script|<a |http(?!://www.w3.org|://purl.org|://creativecommons.org)", text)


def test_the_same_figure_is_the_same_text() -> None:
    assert page.svg(scattered(4), "a", "b") == page.svg(scattered(4), "a", "b")


def test_figures_go_to_a_folder_that_asks_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_FIGURES", str(tmp_path))
    page.show(scattered(2), "some-points", "Two points")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["some-points.pdf", "some-points.svg"]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is displayed."""
    displayed = []
    monkeypatch.setattr(page, "display", lambda what, **_: displayed.append(what))
    return displayed


def test_a_table_has_a_caption_and_scrolls_by_itself(shown: Any) -> None:
    page.table(pd.DataFrame({"a": [1]}), "one < two")
    start = '<figure class="table"><figcaption>one &lt; two</figcaption><div class="scroll"><table class="dataframe">'
    assert shown[0].data.replace('border="0" ', "").startswith(start)


class Drawn:
    def _repr_html_(self) -> Any:
        return "<b>" + "drawn" * 20 + "</b>"


def test_text_in_a_table_is_no_html_and_what_is_drawn_is(shown: Any) -> None:
    frame = pd.DataFrame({"<i>a": ["<i>text"], "b": [Drawn()], "c": [0.5]}, index=["<i>row"])
    page.table(frame)
    assert "<i>" not in shown[0].data
    assert shown[0].data.count("&lt;i&gt;") == 3
    assert Drawn()._repr_html_() in shown[0].data
    page.table(frame.drop(columns="b"))
    assert "<i>" not in shown[1].data
    assert shown[1].data.count("&lt;i&gt;") == 3


def test_a_fold_holds_what_is_shown_in_it(shown: Any) -> None:
    with page.fold("More < less"):
        page.words("Some *words*")
        page.table(pd.DataFrame({"a": [1]}))
        page.show(scattered(2), "some-points", "Two points, and more")
        page.show_with_tooltips(scattered(2), "some-points", "Two points")
        assert not shown
    page.words("After it")
    fold, after = shown
    assert after.data == "After it"
    assert fold.data.startswith("<details><summary><h3>More &lt; less</h3></summary>")
    assert fold.data.endswith("</details>")
    for inside in ("<em>words</em>", "<table", 'alt="Two points, and more"', "data:image/png;base64,", "<svg"):
        assert inside in fold.data


def test_a_fold_that_fails_is_closed(shown: Any) -> None:
    with pytest.raises(ZeroDivisionError), page.fold("More"):
        raise ZeroDivisionError
    page.words("After it")
    assert [part.data for part in shown] == ["After it"]


def test_a_section_shows_what_it_has(shown: Any) -> None:
    page.section(Section("Only words", "**Bold**"))
    assert [part.data for part in shown] == ["### Only words", "**Bold**"]
    shown.clear()
    page.section(Section("All", "w", pd.DataFrame({"a": [1]}), scattered(2), "points", "Two points"))
    words, _, table, figure = shown
    assert words.data == "### All"
    assert "<table" in table.data
    assert list(figure) == ["image/png"]
