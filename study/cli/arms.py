"""`study arms`: a setting, judged by what single changes do to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from study.cli.options import ExperimentFile, Json, Out, app, plan_options, print_answer
from study.search.plan import OF_ARMS


@app.command(epilog="Example: study arms search_spaces/mine.toml --seeds 32 --simplify")
@plan_options(OF_ARMS)
def arms(
    setting: Annotated[Path, typer.Argument(help="A fixed setting: its TOML file, or the name of a shipped one.")],
    *,
    arms: Annotated[
        Path | None,
        typer.Option(metavar="FILE.toml", help="The arms, a table [arms.NAME] each.", show_default="the standard ones"),
    ] = None,
    simplify: Annotated[
        bool,
        typer.Option("--simplify", help="Accept changes while nothing gets worse, and confirm what is left."),
    ] = False,
    name: Annotated[str, typer.Option(help="The study's name; by default the setting's, numbered.")] = "",
    out: Out = "runs",
    experiment: ExperimentFile = None,
    as_json: Json = False,
    **options: Any,
) -> None:
    """Judge a setting by its arms: the same setting with one named change each, on the same seeds.

    The standard arms leave out each term, hold each scheduled weight constant at its peak, its mean and its dose,
    replace minimum jerk by straight lines, and halve steps and labels. A difference beyond its band of seed noise is
    better or worse; else it is not resolved, and the report says how many seeds would resolve it.
    """
    from study import fixed
    from study.evidence.verdicts import verdicts

    options |= {"name": name, "out": out, "experiment": experiment}
    folder = fixed.arms(setting, arms=arms, simplify=simplify, **options)
    known = {key: metric for key, metric in folder.metrics.items() if not metric.examined}
    print_answer({"study": folder.path, "verdicts": verdicts(folder.arms(), known)})
