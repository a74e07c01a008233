"""What travels with a submitted study: our code, its space, and its experiment, which is found in the job's folder alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import study
from study.cluster.submission import pack

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
PACK = "import sys, study; from pathlib import Path; from study.cluster.submission import pack"
PACK += "; pack(study.read(sys.argv[1]), Path(sys.argv[2]))"


def run(*arguments: Any, cwd: Any, **environment: Any) -> Any:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_a_file_travels(tmp_path: Path) -> None:
    job = tmp_path / "job"
    job.mkdir()
    arguments = pack(study.read(EXPERIMENTS / "bowl.toml", experiment=EXPERIMENTS / "bowl.py"), job)
    assert arguments == ["submitted/bowl.toml", "--experiment", "submitted/bowl.py"]
    assert {"anchoring", "study", "analysis", "excolor", "submitted"} <= {path.name for path in job.iterdir()}
    there = run("-m", "study", "spaces", "submitted", *arguments[1:], cwd=job, PYTHONPATH="")
    assert "How fast may a point roll?" in there


def test_an_installed_package_travels(tmp_path: Path) -> None:
    """One that is installed here alone: neither it nor its entry point is on the other machine."""
    site, job = tmp_path / "site", tmp_path / "job"
    for folder in (site / "dish", site / "dish-3.dist-info", job):
        folder.mkdir(parents=True)
    (site / "dish" / "__init__.py").write_text((EXPERIMENTS / "bowl.py").read_text().replace('"bowl"', '"dish"'))
    (site / "dish-3.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: dish\nVersion: 3\n")
    (site / "dish-3.dist-info" / "entry_points.txt").write_text("[study.experiments]\ndish = dish:experiment\n")
    space = tmp_path / "dish.toml"
    space.write_text((EXPERIMENTS / "bowl.toml").read_text().replace('"bowl"', '"dish"'))
    shutil.copy(EXPERIMENTS / "bowl.csv", tmp_path)
    path = os.pathsep.join([str(site), str(Path(study.__file__).parents[1])])
    assert run("-c", PACK, space, job, cwd=tmp_path, PYTHONPATH=path) == ""
    there = run("-m", "study", "spaces", "submitted", cwd=job, PYTHONPATH="")
    assert "How fast may a point roll?" in there
    shutil.rmtree(job / "submitted_experiment.dist-info")  # the positive control
    assert "'dish' is not installed" in run("-m", "study", "spaces", "submitted", cwd=job, PYTHONPATH="")


@pytest.mark.parametrize("name", ["hue", "subspace-ablation-red"])
def test_the_default_experiment_travels(spaces: Path, tmp_path: Path, name: Any) -> None:
    job = tmp_path / "job"
    job.mkdir()
    assert pack(study.read(spaces / f"{name}.toml"), job) == [f"submitted/{name}.toml"]
    assert "default = excolor.experiment:experiment" in next(job.glob("*.dist-info/entry_points.txt")).read_text()
    assert (job / "search_spaces" / "hue-deletion.toml").is_file()  # what it is compared with
    assert not [*job.rglob("__pycache__")]
