"""What the notebooks put on a page: figures with descriptions, sharp or with tooltips, and tables that fit."""

from __future__ import annotations

import html
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from IPython.display import HTML, display
from matplotlib import rc_context
from matplotlib.figure import Figure


def show(figure: Figure, name: str, description: str) -> None:
    """Display a figure as wide as its size says and a third sharper, with its description as alt text.

    If the environment names a folder STUDY_FIGURES, <name>.svg and <name>.pdf go there, for a paper.
    """
    _save(figure, name)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=130, facecolor="white", pil_kwargs={"optimize": True})
    metadata = {"width": round(figure.get_figwidth() * 100), "alt": description}
    display({"image/png": buffer.getvalue()}, raw=True, metadata={"image/png": metadata})


def show_with_tooltips(figure: Figure, name: str, description: str) -> None:
    """As `show`, but as an SVG in which points tell their URL (`scatter.set_urls`) to a reader who rests on them."""
    _save(figure, name)
    display(HTML(f'<div class="figure">{svg(figure, name, description)}</div>'))


def svg(figure: Figure, name: str, description: str) -> str:
    """A figure as an SVG element, 100 CSS pixels an inch as that of `show`. A URL is no link but a tooltip, which SVG's
    <title> does without a script."""
    buffer = io.StringIO()
    with rc_context({"svg.hashsalt": name}):  # the same figure is the same text
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text[text.index("<svg") :], count=2)
    text = re.sub(r'(?<= [xy]=")(\d+\.\d)\d+', r"\1", text)  # a tenth of a point is as well as one can see
    text = re.sub(r'<a xlink:href="([^"]*)"[^>]*>', r"<g><title>\1</title>", text).replace("</a>", "</g>")
    width, height = (round(100 * inches) for inches in figure.get_size_inches())
    label = f'role="img" aria-label="{html.escape(description)}" width="{width}" height="{height}"'
    return text.replace("<svg", f"<svg {label}", 1)


def table(frame: pd.DataFrame, caption: str = "", escape: bool = True) -> None:
    """Display a data frame; one wider than the page scrolls by itself."""
    text = frame.to_html(border=0, escape=escape)
    if caption:
        text = text.replace(">", f"><caption>{html.escape(caption)}</caption>", 1)
    display(HTML(f'<div class="scroll">{text}</div>'))


def swatch(rgb: Sequence[float]) -> str:
    """A colour, in [0, 1], as a patch of it and in hexadecimal."""
    code = "#" + "".join(f"{round(255 * channel):02x}" for channel in rgb)
    return f'<span class="swatch" style="background: {code}"></span><code>{code}</code>'


def _save(figure: Figure, name: str) -> None:
    if folder := os.environ.get("STUDY_FIGURES"):
        with rc_context({"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": name}):
            for kind in ("svg", "pdf"):
                figure.savefig(Path(folder) / f"{name}.{kind}")
