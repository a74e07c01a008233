"""The wheel: what is in it, and that it works where there is no checkout."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from study import __version__

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_is_small_and_whole(wheel: Any) -> None:
    assert wheel.stat().st_size < 1_000_000
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        notebooks = [archive.read(name).decode() for name in names if name.endswith(".ipynb")]
    spaces = {f"excolor/search_spaces/{file.name}" for file in (ROOT / "search_spaces").iterdir()}
    templates = {f"study/template/{file.name}" for file in (ROOT / "study" / "template").iterdir()}
    wanted = {f"{package}/py.typed" for package in ("anchoring", "analysis", "excolor", "study")}
    assert names >= spaces | templates | wanted | {"anchoring/native/vectors.h", "analysis/page.html"}
    assert not any(name.startswith(("analysis/published", "tests")) for name in names)
    assert len(notebooks) == 9
    assert not any("image/png" in notebook.replace('\\"image/png\\"', "") for notebook in notebooks)


@pytest.mark.slow
def test_an_empty_environment_runs_studies_from_the_wheel(wheel: Any, tmp_path: Path) -> None:
    """Needs a network, minutes and two gigabytes: everything is installed anew."""
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    bin_ = tmp_path / "venv" / "bin"
    subprocess.run(["make", "--no-print-directory", "torch", f"BIN={bin_}"], cwd=ROOT, check=True)
    locked = re.findall(
        r"^[\w.-]+==[^\\\n]+", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )  # pip wants no hash
    (tmp_path / "locked").write_text("\n".join(locked))
    install = [bin_ / "python", "-m", "pip", "install", "--quiet", "--constraint", tmp_path / "locked", wheel]
    subprocess.run(install, check=True)
    small = ("--seeds", "2", "--steps", "100", "--rungs", "2", "--cpus", "1", "--out", tmp_path / "runs")

    def study(*words: Any) -> Any:
        command = [bin_ / "study", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert study("--version") == f"study {__version__}\n"
    assert "hue.toml" in study("spaces")
    study("run", "hue", "--trials", "2", "--confirm", "0", "--name", "hue", *small)
    assert "isolation" in study("train", "subspace-ablation", "--seeds", "2", "--steps", "100")
    study("report", "hue", "--out", tmp_path / "runs")
    study("new", "mine")
    study("run", "mine/mine.toml", "--experiment", "mine/experiment.py", "--trials", "2", "--confirm", "0", *small)
