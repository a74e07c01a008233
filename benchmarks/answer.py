"""How long a user waits: for the default study, phase by phase, and for commands that only look."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import study
from benchmarks.figures import Row, Runs, less_than, seconds
from benchmarks.settings import ROOT

COMMAND = str(Path(sys.executable).with_name("study"))
ROUNDS = 3


def answer() -> list[Row]:
    """Rows for `study run` with all defaults, and for the commands that look at what it left. All steps of the hue
    space must be compiled."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as out:
        ran = [_ask(out, f"bench-{number}") for number in range(ROUNDS)]
        found = [_row(f"default study: {name}", [run[name] for run in ran], target) for name, target in TARGETS.items()]
        known = ["bench-0", "--out", out]
        complete = {"_STUDY_COMPLETE": "complete_bash", "COMP_WORDS": f"study show --out {out} b", "COMP_CWORD": "4"}
        looks = {
            "study --help": (["--help"], {}, 0.4),
            "study --version": (["--version"], {}, 0.4),
            "completion of a name": ([], complete, 0.4),
            "study status": (["status", *known], {}, 1.0),
            "study show": (["show", known[0], "0", *known[1:]], {}, 1.0),
            "study spaces": (["spaces"], {}, 1.0),
        }
        for name, (arguments, environment, target) in looks.items():
            found.append(_row(name, [_look(arguments, environment) for _ in range(ROUNDS)], target))
    return found


TARGETS = {"first is training after": 4.0, "report": 5.0, "end": 1.0, "from command to prompt": 25.0}
"""Seconds."""


def _ask(out: str, name: str) -> dict[str, float]:
    """The seconds of each phase of a study. The report's begin when its confirmation is shown."""
    command = [COMMAND, "run", "search_spaces/hue.toml", "--name", name, "--out", out]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "WANDB_MODE": "offline"}
    start, came = time.time(), {}
    with subprocess.Popen(command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE) as process:
        for line in process.stdout or ():
            came[line.partition(":")[0]] = time.time()
    over = time.time()
    folder = study.load(Path(out) / name)
    lasted = folder.trials().set_index("trial").seconds
    ended = ((trial.number, trial.datetime_complete) for trial in folder.optuna().trials)
    training = min(end.timestamp() - float(lasted[trial]) for trial, end in ended if end)
    return {
        "first is training after": training - start,
        "report": came["report"] - came["Confirmed"],
        "end": over - came["report"],
        "from command to prompt": over - start,
    }


def _look(arguments: list[str], environment: dict[str, str]) -> float:
    command = [COMMAND, *arguments]
    return seconds(
        lambda: subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, check=True)
    )


def _row(what: str, values: list[float], target: float) -> Row:
    runs = Runs(tuple(values), ".2f", " s")
    return Row(what, runs, targets=(less_than(runs, target, f"< {target:g} s"),))
