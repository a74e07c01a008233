"""A study from someone else is data: whatever is planted in its folder, nothing of it runs and nothing outside is touched.

Every payload makes a file, the canary; the tests that come first show that each would.
"""

import importlib
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jinja2
import nbformat
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

import study
from anchoring import InputError
from study import cli
from study.record.folder import StudyFolder
from tests.study.record.payload import Payload

TITLE = '<script>alert(1)</script> [bold]x[/bold] <img src="http://evil.example/x.png"> __import__("os")'


def code(canary: Path) -> str:
    """Executed, it makes a file."""
    return f"open({str(canary)!r}, 'w').close()\n"


TEMPLATE = "{%% set x = cycler.__init__.__globals__.os.system('touch %s') %%}"


@pytest.fixture
def hostile(hue: StudyFolder, tmp_path: Path, canary: Any) -> Any:
    """A copy of a study with something planted wherever something could be."""
    folder = tmp_path / "hostile"
    shutil.copytree(hue.path, folder, symlinks=True)
    pickled = pickle.dumps(Payload(canary))

    for name in ("searcher-state.pkl", "tuner.pkl", "trainable.pkl", "experiment_state.pkl", "00000/params.pkl"):
        (folder / "ray" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "ray" / name).write_bytes(pickled)
    (folder / "models" / "00000.pt").write_bytes(pickled)
    (folder / "optuna.journal.snapshot").write_bytes(pickled)

    table = pq.read_table(folder / "trials.parquet")
    extension = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickled}
    planted = pa.field("planted", pa.binary(), metadata=extension)
    table = table.append_column(planted, pa.array([pickled] * len(table), pa.binary()))
    pandas = {
        "columns": [{"name": "planted", "pandas_type": "object", "numpy_type": "object", "metadata": None}],
        "index_columns": [],
        "pandas_version": "3",
    }
    pq.write_table(
        table.replace_schema_metadata({b"pandas": json.dumps(pandas).encode(), b"pickle": pickled}),
        folder / "trials.parquet",
    )

    lines = (folder / "optuna.journal").read_text().splitlines()
    attributes = {"op_code": 8, "worker_id": "x", "trial_id": 0, "system_attr": {"cma:optimizer:0": pickled.hex()}}
    (folder / "optuna.journal").write_text("\n".join([*lines, json.dumps(attributes)]) + "\n")

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code(canary))])
    (folder / "report.ipynb").write_text(nbformat.writes(notebook))
    for name in (
        "pandas",
        "study",
        "excolor",
        "analysis",
        "sitecustomize",
        "usercustomize",
        "ipython_config",
        "ipykernel_launcher",
        "conftest",
        "html",
    ):
        (folder / f"{name}.py").write_text(code(canary))
    (folder / "basic").mkdir()
    (folder / "basic" / "conf.json").write_text('{"base_template": "base", "mimetypes": {"text/html": true}}')
    (folder / "basic" / "index.html.j2").write_text(TEMPLATE % canary)
    toml = (folder / "study.toml").read_text()
    (folder / "study.toml").write_text(
        toml.replace('"Which regularizer weights and schedules isolate hue?"', json.dumps(TITLE))
    )
    return folder


def test_a_payload_unpickled_would_run(canary: Any) -> None:
    pickle.loads(pickle.dumps(Payload(canary)))
    assert canary.exists()


def test_a_planted_module_would_run(canary: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted_module.py").write_text(code(canary))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("planted_module")
    assert canary.exists()


def test_a_planted_template_would_run(canary: Any) -> None:
    jinja2.Template(TEMPLATE % canary).render()
    assert canary.exists()


def test_reading_runs_nothing(hostile: Any, canary: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(hostile)
    folder = study.load(hostile)
    assert len(folder.trials()) == 14
    assert len(folder.replicas())
    assert len(folder.confirmation())
    assert folder.optuna().best_trials
    best = folder.best().trial.item()
    assert isinstance(folder.model(best), torch.nn.Module)
    assert not canary.exists()
    export = ["export", ".", str(best), "--to", str(tmp_path / "export")]
    for command in (["show", ".", str(best)], export, ["spaces", "."], ["status", "."]):
        done = CliRunner().invoke(cli.app, command)
        assert done.exit_code == 0, (command, done.output)
        assert not canary.exists(), command


@pytest.mark.live
def test_reporting_runs_nothing(hostile: Any, canary: Any) -> None:
    """In the hostile folder, as a person would who has just unpacked it."""
    command = [sys.executable, "-P", "-m", "study", "report", "."]  # -P: as the installed `study` starts
    done = subprocess.run(command, cwd=hostile, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not canary.exists()
    page = (hostile / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert '<img src="http' not in page
    assert "default-src 'none'" in page  # whatever a page holds, a browser loads nothing and runs no script


@pytest.mark.slow
def test_going_on_and_confirming_run_nothing(hostile: Any, canary: Any) -> None:
    """`resume` and `confirm` train the settings that a folder describes, and no more, even in that folder."""
    for arguments in (
        ["resume", ".", "--trials", "15", "--confirm", "0", "--changed-experiment"],
        ["confirm", ".", "--top", "1", "--seeds", "2"],
    ):
        command = [sys.executable, "-P", "-m", "study", *arguments, "--cpus", "1"]
        done = subprocess.run(command, cwd=hostile, capture_output=True, text=True, check=False, timeout=500)
        assert done.returncode == 0, done.stderr
        assert not canary.exists(), arguments


LINKS = [
    "study.toml",
    "hue.csv",
    "manifest.json",
    "models",
    "report.html",
    ".report.html.partial",
    "models/00000.safetensors",
    "ray/00000",
    "replicas.parquet/99999.parquet",
]


@pytest.mark.parametrize("name", LINKS)
def test_a_link_out_of_the_folder_is_refused(hue: StudyFolder, tmp_path: Path, name: Any) -> None:
    folder, outside = tmp_path / "hue", tmp_path / "outside"
    shutil.copytree(hue.path, folder, symlinks=True)
    link = folder / name
    link.parent.mkdir(exist_ok=True)
    if link.is_dir():
        shutil.move(link, outside)
    elif link.exists():
        link.rename(outside)
    else:
        outside.write_text("mine")
    link.symlink_to(outside)
    with pytest.raises(InputError, match=r"a link out of the folder"):
        study.load(folder)
