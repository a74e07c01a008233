"""Make the golden studies anew, all of them or those that are named: python tests/golden/make.py [hue ...]

They are real studies, run by the command line with one worker, so that they are the same each time. Nobody edits them by
hand. What says on which machine they were run is replaced; what readers do not read is left out.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
SPACES = (HERE.parents[1] / "search_spaces", HERE.parent / "study" / "spaces", HERE.parent / "study" / "experiments")
LEFT_OUT = (".lock", "report.html", "wandb")
MACHINE = {"python": "3", "system": "Linux", "cpus": 1}

MEDIAN = ("--scheduler", "median")
OBJECTIVES = ("--objective", "utility", "--objective", "hue_residual")
BOWL = ("--experiment", "spaces/bowl.py")
STUDIES = {
    "hue": [
        ("run", "spaces/hue.toml", "--trials", 14, "--seeds", 4, "--steps", 300, "--audit", 0.7),
        ("confirm", "hue", "--top", 2, "--leave-one-out"),
    ],
    "outcomes": [("run", "spaces/outcomes.toml", "--trials", 24, "--seeds", 2, "--rungs", 8)],
    "objectives": [
        ("run", "spaces/hue.toml", "--trials", 12, "--seeds", 2, "--steps", 40, *MEDIAN, *OBJECTIVES),
    ],
    "bowl": [
        ("run", "spaces/bowl.toml", *BOWL, "--trials", 12, "--seeds", 3),
        ("confirm", "bowl", *BOWL, "--top", 2),
    ],
}
"""A study with a confirmation; one in which trials end in every way; one of two objectives; one of another experiment."""


def make(name: str, commands: list[tuple[object, ...]], workplace: Path) -> None:
    """Run a study's commands in a folder of their own, and put what they left in place of the golden study."""
    for verb, subject, *options in commands:
        whole = [*options, "--name", name, "--confirm", 0] if verb == "run" else options
        command = [sys.executable, "-m", "study", verb, subject, *whole, "--cpus", 1, "--out", "runs"]
        environment = {**os.environ, "WANDB_MODE": "disabled", "PYTHONPATH": str(HERE.parents[1])}
        subprocess.run([str(word) for word in command], cwd=workplace, env=environment, check=True)
    folder = workplace / "runs" / name
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "machine": MACHINE}, indent=2) + "\n")
    shutil.rmtree(HERE / name, ignore_errors=True)
    shutil.copytree(folder, HERE / name, ignore=shutil.ignore_patterns(*LEFT_OUT))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as workplace:
        for spaces in SPACES:
            shutil.copytree(spaces, Path(workplace, "spaces"), dirs_exist_ok=True)
        for name in sys.argv[1:] or STUDIES:
            make(name, STUDIES[name], Path(workplace))  # type: ignore[arg-type]
