"""`study new`: an experiment of one's own to start from."""

from __future__ import annotations

import errno
import os
import re
import shutil
from importlib.resources import files
from pathlib import Path
from shlex import quote
from string import Template
from typing import Annotated

import typer

from anchoring.errors import InputError
from study.cli.options import Json, app, print_answer, unwrapped
from study.surroundings import expanded

FILES = {
    "experiment.py": "experiment.py.template",
    "{name}.toml": "space.toml.template",
    "{name}.csv": "space.csv.template",
    "test_experiment.py": "test_experiment.py.template",
}


@app.command(epilog="Example: study new mine, then study run mine/mine.toml --experiment mine/experiment.py")
def new(
    name: Annotated[str, typer.Argument(help="The experiment's name: small letters, digits and '_'.")],
    to: Annotated[Path | None, typer.Option(help="The folder to make; by default the name.")] = None,
    as_json: Json = False,
) -> None:
    """Make a folder with an experiment, a space, a dopesheet and a test that run as they are, to change into yours."""
    from study import registry

    if not re.fullmatch(r"[a-z][a-z0-9_]{0,49}", name) or name in ("experiment", "test_experiment"):
        raise InputError(f"NAME: found {name!r}, expected small letters, digits and '_', a letter first")
    if name in registry.names():
        raise InputError(f"NAME: an experiment {name!r} is installed, expected another name")
    folder = write_files(name, to)
    experiment, space = folder / "experiment.py", folder / f"{name}.toml"
    commands = [
        f"study run {quote(str(space))} --experiment {quote(str(experiment))} --trials 20 --name {name}-try",
        f"study report {name}-try --experiment {quote(str(experiment))} --open",
        f"python -m pytest {quote(str(folder))}",
    ]
    print_answer(
        {"experiment": experiment, "space": space, "next": commands},
        unwrapped(f"made {folder}: the lines to change in {experiment} are marked with <-"),
        *(unwrapped(f"  {command}") for command in commands),
    )


def write_files(name: str, to: Path | None = None) -> Path:
    """Write the files of a new experiment; return their folder. Raises InputError if it exists or cannot be made."""
    folder = expanded(to or name)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    words = {"name": name, "Name": "".join(part.capitalize() for part in name.split("_"))}
    templates = files("study") / "template"
    try:
        if folder.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        partial.mkdir(parents=True)
        for file, template in FILES.items():
            text = Template((templates / template).read_text(encoding="utf-8")).substitute(words)
            (partial / file.format(name=name)).write_text(text, encoding="utf-8")
        return partial.rename(folder)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise InputError(f"{folder}: cannot be made ({error.strerror}), expected a new folder (--to)") from None
