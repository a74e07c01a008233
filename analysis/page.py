"""What notebooks put on a page: words, figures with descriptions and perhaps tooltips, and tables that fit."""

from __future__ import annotations

import base64
import html
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from IPython.display import HTML, Markdown, display
from matplotlib import rc_context
from matplotlib.figure import Figure
from nbconvert.filters import markdown2html

from study.experiment import Section

_folded: list[str] | None = None  # the HTML of the fold that is open; None if there is none


@contextmanager
def fold(title: str) -> Iterator[None]:
    """Put what is shown meanwhile into a part of the page that is closed until a reader opens it."""
    global _folded  # noqa: PLW0603  # a notebook has one page
    _folded = []
    try:
        yield
        inside = "\n".join(_folded)
    finally:
        _folded = None
    _put(f"<details><summary><h3>{html.escape(title)}</h3></summary>\n{inside}\n</details>")


def words(markdown: str) -> None:
    """Display text in Markdown."""
    if _folded is None:
        display(Markdown(markdown))
    else:
        _folded.append(markdown2html(markdown))


def show(figure: Figure, name: str, description: str) -> None:
    """Display a figure at 100 CSS pixels an inch, drawn a third sharper, with its description as alt text.

    If the environment variable STUDY_FIGURES names a folder, <name>.svg and <name>.pdf are written there, for a paper.
    """
    _save(figure, name)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=130, facecolor="white")
    width = round(figure.get_figwidth() * 100)
    if _folded is None:
        metadata = {"width": width, "alt": description}
        display({"image/png": buffer.getvalue()}, raw=True, metadata={"image/png": metadata})
    else:
        source = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
        _put(f'<div class="figure"><img src="{source}" alt="{html.escape(description)}" width="{width}"></div>')


def show_with_tooltips(figure: Figure, name: str, description: str) -> None:
    """Display a figure as an SVG. A point shows its URL (`scatter.set_urls`) while the reader's pointer rests on it."""
    _save(figure, name)
    _put(f'<div class="figure">{svg(figure, name, description)}</div>')


def svg(figure: Figure, name: str, description: str) -> str:
    """A figure as an SVG element of 100 CSS pixels an inch. URLs become tooltips: SVG's <title>, no script."""
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": name}):  # the same figure gives the same text
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text[text.index("<svg") :], count=2)
    text = re.sub(r'(?<= [xy]=")(\d+\.\d)\d+', r"\1", text)  # nobody sees less than a tenth of a point
    text = re.sub(r'<a xlink:href="([^"]*)"[^>]*>', r"<g><title>\1</title>", text).replace("</a>", "</g>")
    width, height = (round(100 * inches) for inches in figure.get_size_inches())
    label = f'role="img" aria-label="{html.escape(description)}" width="{width}" height="{height}"'
    return text.replace("<svg", f"<svg {label}", 1)


def table(frame: pd.DataFrame, caption: str = "") -> None:
    """Display a data frame. A table wider than the page scrolls by itself.

    Text is escaped. An object with the method `_repr_html_`, as Jupyter knows it, is shown as that HTML.
    """
    if frame.map(_is_drawn).any(axis=None):
        cells = frame.map(lambda cell: cell._repr_html_() if _is_drawn(cell) else html.escape(str(cell)))
        cells = cells.rename(index=_escaped, columns=_escaped)
        with pd.option_context("display.max_colwidth", None):
            text = cells.to_html(border=0, escape=False)
    else:
        text = frame.to_html(border=0)
    caption = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    _put(f'<figure class="table">{caption}<div class="scroll">{text}</div></figure>')


def markup(text: str) -> None:
    """Display HTML of our own making."""
    _put(f'<div class="figure">{text}</div>')


def section(part: Section) -> None:
    """Display a section that an experiment adds to the report."""
    if part.title:
        words(f"### {html.escape(part.title, quote=False)}")
    if part.words:
        words(part.words)
    if part.table is not None:
        table(part.table)
    if part.figure is not None:
        show(part.figure, part.name, part.description)


def _put(text: str) -> None:
    if _folded is None:
        display(HTML(text))
    else:
        _folded.append(text)


def _is_drawn(cell: object) -> bool:
    return hasattr(cell, "_repr_html_")


def _escaped(name: object) -> str:
    return html.escape(str(name))


def _save(figure: Figure, name: str) -> None:
    if folder := os.environ.get("STUDY_FIGURES"):
        with rc_context({"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": name}):
            for kind in ("svg", "pdf"):
                figure.savefig(Path(folder) / f"{name}.{kind}")
