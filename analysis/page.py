"""What the notebooks put on a page: figures as sharp pictures with descriptions, tables that fit."""

from __future__ import annotations

import io

import pandas as pd
from IPython.display import HTML, display
from matplotlib.figure import Figure


def show(figure: Figure, description: str) -> None:
    """Display a figure as wide as its size says, twice as sharp, with its description as alt text."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=200, facecolor="white")
    metadata = {"width": round(figure.get_figwidth() * 100), "alt": description}
    display({"image/png": buffer.getvalue()}, raw=True, metadata={"image/png": metadata})


def table(frame: pd.DataFrame) -> None:
    """Display a data frame; one wider than the page scrolls by itself."""
    display(HTML(f'<div class="scroll">{frame.to_html(border=0)}</div>'))
