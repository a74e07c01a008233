"""What is in the offline W&B runs of a real study."""

import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from wandb.proto import wandb_internal_pb2

import study
from study.record.folder import StudyFolder
from study.record.tables import metric_means
from study.watch.tracking import Tracker

pytestmark = pytest.mark.live

BLOCK, HEADER = 32768, 7


@pytest.fixture(autouse=True)
def _as_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE")


def records(path: Any) -> Iterator[Any]:
    """A run's records, out of W&B's file: a LevelDB log, which is 7 bytes of its own and chunks in 32 KiB blocks.

    W&B's own reader is a part of its service now, and not to be had from Python.
    """
    data, at, parts = path.read_bytes(), HEADER, b""
    assert data.startswith(b":W&B")
    while at < len(data):
        left = BLOCK - at % BLOCK
        if left < HEADER:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data.ljust(at + HEADER, b"\0"), at)
        if at + HEADER + length > len(data):
            return  # it is yet to be written
        parts += data[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in (1, 4):  # a whole record, or the last part of one
            yield wandb_internal_pb2.Record.FromString(parts)  # type: ignore[attr-defined]
            parts = b""


class Run:
    """An offline run as W&B would upload it."""

    def __init__(self, path: Any) -> None:
        self.records = list(records(path))
        self.run = next(record.run for record in self.records if record.HasField("run"))
        self.config: dict[str, Any] = {}
        for update in [self.run.config, *(record.config for record in self.records if record.HasField("config"))]:
            self.config |= {item.key: json.loads(item.value_json) for item in update.update if item.key}
        self.history = [
            {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            for record in self.records
            if record.HasField("history")
        ]
        self.exits = [record.exit.exit_code for record in self.records if record.HasField("exit")]
        self.artifacts = [record.artifact for record in self.records if record.HasField("artifact")]


def runs(folder: Any) -> list[Run]:
    """The study's runs, as soon as W&B's service has written them to the end."""
    paths = sorted(folder.path.glob("wandb/offline-run-*/run-*.wandb"))
    deadline = time.monotonic() + 60
    while not all(any(record.HasField("exit") for record in records(path)) for path in paths):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return [Run(path) for path in paths]


@pytest.fixture(scope="module")
def folder(live: Any) -> Any:
    return live[0]


@pytest.fixture(scope="module")
def of_folder(folder: Any) -> Any:
    return runs(folder)


@pytest.fixture(scope="module")
def of_study(of_folder: Any) -> Any:
    (run,) = (run for run in of_folder if run.run.job_type == "study")
    return run


def test_every_trial_is_logged_with_the_best_so_far(folder: Any, of_study: Any) -> None:
    logged = [entry for entry in of_study.history if "trial" in entry]
    assert sorted(entry["trial"] for entry in logged) == list(range(24))
    assert logged[-1]["best"] == folder.best()["isolation.mean"].item()
    best = [entry["best"] for entry in logged if "best" in entry]  # from the first complete trial on
    assert best == sorted(best)


def test_the_answer_is_logged_before_the_run_ends(folder: Any, of_study: Any) -> None:
    keys = {key.split("/")[0]: entry for entry in of_study.history for key in entry}
    assert {"table", "confirmation", "report"} <= keys.keys()
    assert keys["confirmation"]["confirmation/nrows"] == 64 * 4
    (page,) = folder.path.glob("wandb/offline-run-*/files/" + keys["report"]["report/path"])
    assert page.read_bytes() == (folder.path / "report.html").read_bytes()
    (models,) = (artifact for artifact in of_study.artifacts if artifact.type == "model")
    best = folder.best(3).trial.tolist()
    assert [entry.path for entry in models.manifest.contents] == [f"{trial:05d}.safetensors" for trial in sorted(best)]
    assert json.loads(models.metadata)[str(best[0])] == folder.parameters(best[0])
    assert of_study.exits == [0]


def test_each_trial_has_a_run_with_its_rungs(folder: Any, of_folder: Any) -> None:
    of_trials = {int(run.run.display_name.split()[1]): run for run in of_folder if run.run.job_type == "trial"}
    assert sorted(of_trials) == list(range(24))
    states, replicas = folder.trials().set_index("trial").state, folder.replicas()
    for trial, run in of_trials.items():
        assert run.run.run_group == "live"
        assert {name: run.config[name] for name in folder.space.distributions} == folder.parameters(trial)
        rungs = replicas[replicas.trial == trial].groupby("step")
        assert [entry["_step"] for entry in run.history] == list(rungs.groups)
        for entry, (_, rows) in zip(run.history, rungs, strict=True):
            means = metric_means(rows)
            assert {name: entry[name] for name in means} == pytest.approx(means, nan_ok=True)
        assert run.exits == [int(states[trial] in ("diverged", "failed"))]


def test_importance_is_logged_once_there_is_enough_to_tell(
    hue: StudyFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = study.load(shutil.copytree(hue.path, tmp_path / "copy", ignore=shutil.ignore_patterns("wandb")))
    monkeypatch.setattr("study.watch.summary.ENOUGH", 2)
    with Tracker(folder, Console()):
        pass
    (run,) = runs(folder)
    assert any("importance_table" in key for entry in run.history for key in entry)


SCRIPT = "import study; from rich.console import Console; from study.watch.tracking import Tracker\n"
SCRIPT += "with Tracker(study.load({path!r}), Console()): pass"


def test_who_is_not_logged_in_is_asked_nothing(hue: StudyFolder, tmp_path: Path) -> None:
    """WANDB_MODE=online on a terminal, where W&B would ask for a key and wait."""
    folder = study.load(shutil.copytree(hue.path, tmp_path / "copy", ignore=shutil.ignore_patterns("wandb")))
    known = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    home = {"HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc"), "WANDB_CONFIG_DIR": str(tmp_path)}
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(path=str(folder.path))],
        env={**known, **home, "WANDB_MODE": "online"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        assert process.wait(timeout=120) == 0
        said = os.read(ours, 100_000).decode()
    finally:
        process.kill()
        os.close(ours)
    assert "W&B stays offline: not logged in (`wandb login`" in said
    assert [run.exits for run in runs(folder)] == [[0]]


LOGGING = """
import sys
import study
from rich.console import Console
from study.search.trial import Report
from study.watch.tracking import Tracker

folder = study.load(sys.argv[1])
with Tracker(folder, Console(), "trials") as tracker:
    for row in folder.trials().to_dict("records")[:2]:
        tracker.reported(row["trial"], Report(row["state"], row["steps"], 1.0, folder.final(row["trial"])))
        tracker.ended(row)
"""


def test_variables_for_one_run_do_not_keep_a_study_from_having_several(hue: StudyFolder, tmp_path: Path) -> None:
    path = shutil.copytree(hue.path, tmp_path / "copy", ignore=shutil.ignore_patterns("wandb"))
    one = {
        "RUN_ID": "one",
        "RESUME": "must",
        "NAME": "one",
        "RUN_GROUP": "another",
        "SWEEP_ID": "s",
        "JOB_TYPE": "other",
    }
    variables = {f"WANDB_{name}": value for name, value in one.items()}
    command = [sys.executable, "-c", LOGGING, str(path)]
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=120, check=True)
    assert "W&B" not in done.stdout + done.stderr
    found = runs(study.load(path))
    assert sorted(run.run.display_name for run in found) == ["copy", "trial 0", "trial 1"]
    assert {run.run.run_group for run in found} == {"copy"}
    assert len({run.run.run_id for run in found}) == 3


@pytest.mark.parametrize(("mode", "tracked"), [("disabled", "trials"), ("offline", "off")])
def test_disabled_means_nothing(
    hue: StudyFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: str, tracked: Any
) -> None:
    folder = study.load(shutil.copytree(hue.path, tmp_path / "copy", ignore=shutil.ignore_patterns("wandb")))
    monkeypatch.setenv("WANDB_MODE", mode)
    with Tracker(folder, Console(), tracked) as tracker:
        tracker.ended(folder.trials().to_dict("records")[0])  # type: ignore[arg-type]
    assert not (folder.path / "wandb").exists()


def test_a_run_begins_wherever_the_process_is_meanwhile(
    hue: StudyFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A relative folder, as the default --out is, and a working directory that changes while W&B starts."""
    shutil.copytree(hue.path, tmp_path / "copy", ignore=shutil.ignore_patterns("wandb"))
    monkeypatch.chdir(tmp_path)
    console = Console(record=True)
    tracker = Tracker(study.load("copy"), console)
    monkeypatch.chdir("/")
    with tracker:
        tracker.started(0)
        tracker._thread.submit(lambda: None).result()  # it has begun
        monkeypatch.chdir(tmp_path)
    assert console.export_text() == ""
    assert [run.exits for run in runs(study.load(tmp_path / "copy"))] == [[0]]
