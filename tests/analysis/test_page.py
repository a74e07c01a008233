"""Figures and tables as they reach a page."""

import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import page


def scattered(n):
    figure = Figure(figsize=(4, 3))
    axis = figure.subplots()
    axis.scatter(
        *np.random.default_rng(0).random((2, n)), s=[20, 30] * (n // 2), urls=[f"{i} < 'you'" for i in range(n)]
    )
    return figure


def test_every_point_of_an_svg_tells_its_own_text():
    for n in (2, 200):  # of few points matplotlib writes paths, of many it writes uses
        text = page.svg(scattered(n), "points", 'a "good" figure')
        root = ElementTree.fromstring(text)
        titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
        assert titles == [f"{i} < 'you'" for i in range(n)]
        assert (root.get("role"), root.get("aria-label"), root.get("width")) == ("img", 'a "good" figure', "400")
        assert not re.search("<script|<a |http(?!://www.w3.org|://purl.org|://creativecommons.org)", text)


def test_the_same_figure_is_the_same_text():
    assert page.svg(scattered(4), "a", "b") == page.svg(scattered(4), "a", "b")


def test_figures_go_to_a_folder_that_asks_for_them(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_FIGURES", str(tmp_path))
    page.show(scattered(2), "some-points", "Two points")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["some-points.pdf", "some-points.svg"]


def test_swatches_say_their_colour():
    assert "<code>#ff8000</code>" in page.swatch([1, 0.5, 0])


def test_a_table_has_a_caption_and_scrolls_by_itself(monkeypatch):
    shown = []
    monkeypatch.setattr(page, "display", shown.append)
    page.table(pd.DataFrame({"a": [1]}), "one < two")
    assert shown[0].data.startswith('<div class="scroll"><table class="dataframe"><caption>one &lt; two</caption>')
