"""A study at s3://, against a real server of the protocol (moto's), whose driver is killed and its machine lost."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyarrow.fs import S3FileSystem

import study

PYTHON = Path(__file__).parents[3] / ".venv-s3" / "bin" / "python"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON.exists(), reason="needs .venv-s3, which `make soak` makes"),
]


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The storage of a server of our own, and the URL of a bucket in it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for key in [key for key in os.environ if key.startswith("AWS_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(key, "planted-key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with (tmp_path / "server.log").open("w") as log:
        command = [PYTHON, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log)  # type: ignore[arg-type]
    try:
        for _ in range(600):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        storage = S3FileSystem(endpoint_override=f"127.0.0.1:{port}", scheme="http", allow_bucket_creation=True)
        storage.create_dir("bucket")
        yield storage
    finally:
        server.kill()
        server.wait()


def test_a_study_goes_on_from_s3_on_another_machine(
    bucket: Any, spaces: Path, command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    url = "s3://bucket/studies"
    options = ["--name", "far", "--out", url, "--trials", "500", "--seeds", "2", "--steps", "300", "--cpus", "2"]
    start = [sys.executable, "-m", "study", "run", str(spaces / "hue.toml"), *options, "--confirm", "0"]
    process = subprocess.Popen(start, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ended = 0
    for _ in range(3000):
        with contextlib.suppress(OSError):  # not there yet
            ended = pq.read_metadata(bucket.open_input_file("bucket/studies/far/trials.parquet")).num_rows
        if ended >= 4 or process.poll() is not None:
            break
        time.sleep(0.1)
    process.kill()
    said = process.communicate(timeout=60)
    assert ended >= 4, said
    shutil.rmtree(tmp_path / "cache" / "concept-study")

    left = study.load(f"{url}/far")
    kept = left.trials().drop(columns="seconds")
    assert len(kept) >= 1  # the table is uploaded before the journal, which decides, and is written less often
    trials = len(left.optuna().trials) + 6
    done = command("resume", f"{url}/far", "--trials", trials, "--cpus", 2, "--confirm", 0)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tmp_path / "cache" / "concept-study")

    far = study.load(f"{url}/far")
    assert far.trials().trial.tolist() == list(range(trials))
    assert all(trial.state.is_finished() for trial in far.optuna().trials)
    again = far.trials().drop(columns="seconds").set_index("trial").loc[kept.trial, kept.columns.drop("trial")]
    assert again.reset_index().equals(kept.reset_index(drop=True))
    assert far.model(far.best().trial.item())
    assert (far.path / "report.html").is_file()
    files = [path for path in (tmp_path / "cache" / "concept-study").rglob("*") if path.is_file()]
    assert not [path for path in files if b"planted-key" in path.read_bytes()]


def test_a_bucket_that_is_not_there(
    bucket: Any, command: Callable[..., subprocess.CompletedProcess[str]], spaces: Path, tmp_path: Path
) -> None:
    done = command("run", spaces / "hue.toml", "--out", "s3://nowhere/studies", "--cpus", 1)
    assert done.returncode == 2
    assert "s3://nowhere/studies: cannot be written to " in done.stderr
    assert len(done.stderr.splitlines()) == 1
