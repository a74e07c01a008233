"""A study from someone else is data: whatever is planted in its folder, nothing of it runs and nothing outside is touched.

Every payload makes a file, the canary; the tests that come first show that each would.
"""

import contextlib
import importlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import jinja2
import nbformat
import optuna
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from optuna.distributions import FloatDistribution
from optuna.samplers import CmaEsSampler
from optuna.trial import FrozenTrial, TrialState, create_trial
from typer.testing import CliRunner

import study
from anchoring import InputError
from study import cli
from study.record.recovery import reconcile
from study.record.untrusted import expect_plain_state
from study.search.run import run

TITLE = '<script>alert(1)</script> [bold]x[/bold] <img src="http://evil.example/x.png"> __import__("os")'


class Payload:
    """Unpickled, it makes a file."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self):
        return Path.touch, (self.canary,)


def code(canary: Path) -> str:
    """Executed, it makes a file."""
    return f"open({str(canary)!r}, 'w').close()\n"


TEMPLATE = "{%% set x = cycler.__init__.__globals__.os.system('touch %s') %%}"


@pytest.fixture
def canary(tmp_path):
    return tmp_path / "canary"


@pytest.fixture
def hostile(hue, tmp_path, canary):
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


def test_a_payload_unpickled_would_run(canary):
    pickle.loads(pickle.dumps(Payload(canary)))
    assert canary.exists()


def test_a_planted_module_would_run(canary, tmp_path, monkeypatch):
    (tmp_path / "planted_module.py").write_text(code(canary))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("planted_module")
    assert canary.exists()


def test_a_planted_template_would_run(canary):
    jinja2.Template(TEMPLATE % canary).render()
    assert canary.exists()


def test_reading_runs_nothing(hostile, canary, tmp_path, monkeypatch):
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
def test_reporting_runs_nothing(hostile, canary):
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
def test_going_on_and_confirming_run_nothing(hostile, canary):
    """`resume` and `confirm` train the settings that a folder describes, and no more, even in that folder."""
    for arguments in (
        ["resume", ".", "--trials", "15", "--confirm", "0"],
        ["confirm", ".", "--top", "1", "--seeds", "2"],
    ):
        command = [sys.executable, "-P", "-m", "study", *arguments, "--cpus", "1"]
        done = subprocess.run(command, cwd=hostile, capture_output=True, text=True, check=False, timeout=500)
        assert done.returncode == 0, done.stderr
        assert not canary.exists(), arguments


PLANE = {name: FloatDistribution(0, 1) for name in "xy"}


def state(pickled: bytes) -> FrozenTrial:
    """A trial that keeps a state of CMA-ES."""
    attributes = {"cma:optimizer:0": pickled.hex()}
    return create_trial(value=0.5, params=dict.fromkeys(PLANE, 0.5), distributions=PLANE, system_attrs=attributes)


def test_a_state_of_cmaes_unpickled_would_run(canary):
    search = optuna.create_study(sampler=CmaEsSampler(n_startup_trials=1))
    search.add_trial(state(pickle.dumps(Payload(canary))))
    with contextlib.suppress(AttributeError):  # what comes out is no optimizer
        search.ask(PLANE)
    assert canary.exists()


def test_a_state_of_cmaes_is_arrays():
    search = optuna.create_study(sampler=CmaEsSampler(seed=0, n_startup_trials=1))
    for _ in range(20):
        trial = search.ask(PLANE)
        search.tell(trial, sum(trial.params.values()))
    assert any("cma:optimizer:0" in trial.system_attrs for trial in search.trials)
    for trial in search.trials:
        expect_plain_state(trial, Path("optuna.journal"))


@pytest.mark.parametrize("keep", [None, 40, 3], ids=["whole", "cut", "too little"])
def test_a_state_of_cmaes_that_is_more_than_arrays_is_refused(copied, canary, keep):
    folder = study.load(copied)
    folder.optuna().add_trial(state(pickle.dumps(Payload(canary))[:keep]))
    with pytest.raises(InputError, match=r"optuna\.journal: trial 14: the state of CMA-ES .*expected arrays"):
        run(folder.plan().but(sampler="cmaes"), folder, [])
    assert not canary.exists()


def test_a_state_of_cmaes_that_a_kill_cut_short_is_a_failed_trial(copied):
    """Optuna writes it in parts, and nothing else is known of a trial that has not ended."""
    folder = study.load(copied)
    search = folder.optuna()
    trial = search.ask()
    search._storage.set_trial_system_attr(trial._trial_id, "cma:optimizer:0", "8004")
    reconcile(search, folder)
    assert search.trials[trial.number].state == TrialState.FAIL


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
def test_a_link_out_of_the_folder_is_refused(hue, tmp_path, name):
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
    with pytest.raises(InputError, match=r"a link out of it"):
        study.load(folder)


@pytest.fixture
def copied(hue, tmp_path):
    shutil.copytree(hue.path, tmp_path / "hue", symlinks=True)
    return tmp_path / "hue"


def header(text: str, size: int | None = None, data: bytes = b"") -> bytes:
    """A safetensors file: the header's length, the header, the data."""
    return (len(text) if size is None else size).to_bytes(8, "little") + text.encode() + data


WEIGHT = '{"encoder.layers.0.weight": {"dtype": "F32", "shape": %s, "data_offsets": %s}}'
MODELS = {
    "nothing": b"",
    "a pickle": pickle.dumps({"weight": 1}),
    "a header of 2^63 bytes": header("{}", 2**63),
    "no JSON": header("{" * 1000),
    "a huge shape": header(WEIGHT % ("[4, 3, 1000000000000]", "[0, 4]"), data=b"1234"),
    "a shape that overflows": header(WEIGHT % ("[4294967296, 4294967296, 2]", "[0, 4]"), data=b"1234"),
    "offsets beyond the file": header(WEIGHT % ("[1]", "[0, 4000000000]"), data=b"1234"),
    "offsets backwards": header(WEIGHT % ("[1]", "[4, 0]"), data=b"1234"),
    "too little": safetensors.torch.save({"encoder.layers.0.weight": torch.zeros(4, 3, 16)}),
    "another model of that size": safetensors.torch.save({"weight": torch.zeros(4 * 263)}),
}


@pytest.mark.parametrize("content", MODELS.values(), ids=MODELS.keys())
def test_models_that_are_none(copied, content):
    folder = study.load(copied)
    best = folder.best().trial.item()
    (copied / "models" / f"{best:05d}.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=rf"models/{best:05d}\.safetensors: (is no safetensors|found|holds another)"):
        folder.model(best)


def test_a_model_larger_than_its_file_is_not_made(copied):
    toml = copied / "study.toml"
    toml.write_text(toml.read_text().replace("bottleneck = 4", "bottleneck = 4\nhidden = 100_000_000\ndepth = 100"))
    folder = study.load(copied)
    with pytest.raises(InputError, match=r"found 1,052 weights, expected"):
        folder.model(folder.best().trial.item())


MANIFESTS = {
    "a list": lambda m: [m],
    "no seeds": lambda m: {**m, "replica_seeds": []},
    "seeds of text": lambda m: {**m, "replica_seeds": ["0", "1"]},
    "a million seeds": lambda m: {**m, "replica_seeds": list(range(1_000_000))},
    "an objective for objectives": lambda m: {**m, "objectives": "isolation"},
    "steps of text": lambda m: {**m, "steps": "300"},
    "a table for a machine": lambda m: {**m, "machine": ["cpu"]},
    "no time": lambda m: {key: value for key, value in m.items() if key != "started"},
    "nothing": lambda m: None,
}  # fmt: skip


@pytest.mark.parametrize("change", MANIFESTS.values(), ids=MANIFESTS.keys())
def test_manifests_of_wrong_types(copied, change):
    path = copied / "manifest.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(InputError, match=r"manifest\.json: .*expected"):
        _ = study.load(copied).seeds()


@pytest.mark.parametrize("key", ["sampler", "cpus", "rungs", "trials"])
def test_a_plan_of_wrong_types(copied, key):
    path = copied / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: "__import__('os')"}))
    with pytest.raises(InputError, match=rf"manifest\.json: {key}: found"):
        study.load(copied).plan()


def test_parameters_out_of_their_ranges(copied):
    table = pq.read_table(copied / "trials.parquet")
    place = table.column_names.index("param.peak")
    evil = pa.array(["\x1b]0;evil\x07__import__('os')"] * len(table))
    pq.write_table(table.set_column(place, "param.peak", evil), copied / "trials.parquet")
    with pytest.raises(InputError, match=r"trial 0: peak: found .\\x1b\]0;evil"):
        study.load(copied).document(0)


def test_terminals_show_codes_and_do_not_obey_them(copied, capsys, monkeypatch):
    table = pq.read_table(copied / "trials.parquet")
    place = table.column_names.index("reason")
    pq.write_table(
        table.set_column(place, "reason", pa.array(["\x1b]0;evil\x07\x1b[2J[red]x[/red]\u202e"] * len(table))),
        copied / "trials.parquet",
    )
    monkeypatch.setattr("sys.argv", ["study", "show", str(copied), "0"])
    with pytest.raises(SystemExit):
        cli.main()
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert r"\x1b]0;evil\x1b[2J[red]x[/red]\u202e" in said.replace("\n", "")


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1", pickle.dumps([1])])
def test_tables_that_are_none(copied, content):
    (copied / "trials.parquet").write_bytes(content)
    with pytest.raises(InputError, match=r"trials\.parquet: is no table"):
        _ = study.load(copied).trials()


def test_a_table_without_columns(copied):
    pq.write_table(pa.table({"trial": [0]}), copied / "trials.parquet")
    with pytest.raises(InputError, match=r"trials\.parquet: found no column state"):
        _ = study.load(copied).trials()


def test_no_file_is_waited_for(copied):
    """A pipe in the place of a file would be read for ever."""
    (copied / "optuna.journal").unlink()
    os.mkfifo(copied / "optuna.journal")
    with pytest.raises(InputError, match="neither file nor folder"):
        study.load(copied)
