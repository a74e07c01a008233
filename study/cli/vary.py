"""`study vary`: what seed noise is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from study.cli.options import ExperimentFile, Json, Out, app, plan_options, print_answer
from study.search.plan import OF_ARMS


@app.command(epilog="Example: study vary search_spaces/mine.toml --vary init,data+labels --levels 16")
@plan_options(OF_ARMS)
def vary(
    setting: Annotated[Path, typer.Argument(help="A fixed setting: its TOML file, or the name of a shipped one.")],
    *,
    vary: Annotated[
        str, typer.Option(metavar="FACTORS", help="What varies apart; parts joined by + vary together.")
    ] = "init,data,labels",
    levels: Annotated[int, typer.Option(min=2, help="How many seeds each factor has.")] = 8,
    name: Annotated[str, typer.Option(help="The study's name; by default the setting's, numbered.")] = "",
    out: Out = "runs",
    experiment: ExperimentFile = None,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Find out what seed noise is made of: initial weights, samples or labels.

    A replica's seed fixes all three. Here each has seeds of its own, and every combination of them is trained. The
    report says which share of each metric's variance each has, and whether failures follow one of them.
    """
    from study import fixed
    from study.evidence.components import components, factors_of

    options |= {"name": name, "out": out, "experiment": experiment}
    folder = fixed.vary(setting, factors=vary, levels=levels, **options)
    found = components(folder.varied(), factors_of(vary), folder.goal)
    print_answer({"study": folder.path, "components": found})
