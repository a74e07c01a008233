"""Parallel coordinates that a reader can brush, in a page without scripts: style sheets hide what is switched off."""

from __future__ import annotations

import html
from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.maps import Map, fails
from analysis.style import FAINT, PALETTE
from study.space.space import at
from study.watch.live import format_value

BANDS = 5
WIDTH, HEIGHT, TOP = 980, 360, 26


def coordinates(columns: pd.DataFrame, color: pd.Series, labels: Sequence[str], title: str) -> str:
    """A drawing of rows as lines over their columns, as HTML: an axis for each column, divided into bands.

    A click on a band hides the lines that cross it there, and another shows them again.

    Args:
        columns: numbers in [0, 1], a row for each line. Missing numbers are left out of their line.
        color: a colour for each line, as in CSS.
        labels: the text at the lower and the upper end of each axis, below its name: "name|low|high".
        title: what is drawn, for readers who cannot see it.
    """
    n = columns.shape[1]
    x = np.linspace(60, WIDTH - 60, n) if n > 1 else np.array([WIDTH / 2])
    bands = np.clip((columns.to_numpy() * BANDS).astype(float), 0, BANDS - 1)
    lines, style = [], []
    for place, (values, of) in enumerate(zip(columns.to_numpy(), bands, strict=True)):
        known = np.flatnonzero(~np.isnan(values))
        points = " ".join(f"{x[i]:.0f},{TOP + (1 - values[i]) * HEIGHT:.0f}" for i in known)
        classes = " ".join(f"pc{i}-{int(of[i])}" for i in known)
        stroke = html.escape(str(color.iloc[place]))
        name = html.escape(str(columns.index[place]))
        lines.append(
            f'<polyline class="{classes}" points="{points}" stroke="{stroke}"><title>{name}</title></polyline>'
        )
    switches, axes = [], []
    for i in range(n):
        name, low, high = (html.escape(part) for part in labels[i].split("|"))
        for band in range(BANDS):
            key = f"pc{i}-{band}"
            said = f"{name}: part {band + 1} of {BANDS}"
            switches.append(f'<input type="checkbox" id="{key}" checked aria-label="{said}">')
            style.append(f".pc:has(#{key}:not(:checked)) .{key}{{display:none}}")
            style.append(f".pc:has(#{key}:not(:checked)) .f{key}{{background:transparent}}")
            top = 100 * (TOP + (BANDS - 1 - band) * HEIGHT / BANDS) / (HEIGHT + 2 * TOP + 34)
            left, tall = 100 * x[i] / WIDTH, 100 * HEIGHT / BANDS / (HEIGHT + 2 * TOP + 34)
            where = f"left:calc({left:.2f}% - 7px);top:{top:.2f}%;height:calc({tall:.2f}% - 2px)"
            axes.append(f'<label class="band f{key}" for="{key}" style="{where}" title="{said}"></label>')
        axes.append(
            f'<span class="name" style="left:{100 * x[i] / WIDTH:.2f}%"><b>{name}</b><br>{low} to {high}</span>'
        )
    size = f'viewBox="0 0 {WIDTH} {HEIGHT + 2 * TOP + 34}" role="img" aria-label="{html.escape(title)}"'
    drawing = f"<svg {size} xmlns='http://www.w3.org/2000/svg'>{''.join(lines)}</svg>"
    sheet = _STYLE + "".join(style)
    return f'<style>{sheet}</style><div class="pc">{"".join(switches)}{drawing}{"".join(axes)}</div>'


_STYLE = (
    ".pc{position:relative;max-width:980px;background:#fff;border-radius:6px}"
    ".pc svg{display:block;width:100%;height:auto}"
    ".pc polyline{fill:none;stroke-width:1;stroke-opacity:.55}"
    ".pc polyline:hover{stroke-width:3;stroke-opacity:1}"
    ".pc input{position:absolute;opacity:0;width:1px;height:1px}"
    ".pc .band{position:absolute;width:14px;background:#2222;border:1px solid #2228;border-radius:3px;cursor:pointer}"
    ".pc .band:hover{border-color:#000}"
    ".pc .name{position:absolute;bottom:2px;transform:translateX(-50%);font-size:10px;line-height:1.2;color:#222;"
    "text-align:center;white-space:nowrap}"
)


def everything(known: Map, names: Sequence[str], metric: str) -> str:
    """Every complete trial of a map as a line over some parameters and its value, blue if it keeps all requirements."""
    value = known.trials["value"]
    low, high = float(value.quantile(0.05)), float(value.max())
    columns = {name: known.points[:, list(known.distributions).index(name)] for name in names}
    columns[metric] = ((value.clip(low) - low) / ((high - low) or 1)).to_numpy()
    ends = [[at(known.distributions[name], share) for share in (0, 1)] for name in names]
    labels = [f"{name}|{format_value(low)}|{format_value(high)}" for name, (low, high) in zip(names, ends, strict=True)]
    frame = pd.DataFrame(columns, index=[f"trial {trial}" for trial in known.trials.index])
    colors = pd.Series(np.where(fails(known) == "", PALETTE[0], FAINT))
    title = f"Every complete trial as a line over its parameters and {metric}"
    return coordinates(frame, colors, [*labels, f"{metric}|{format_value(low)}|{format_value(high)}"], title)
