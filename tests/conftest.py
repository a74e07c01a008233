"""What tests of several folders share: real studies, run once by the command line as a person would."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
import torch

import study

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Use one thread, as workers do. Results are then the same to the last bit."""
    torch.set_num_threads(1)


SPACES = Path(__file__).parent.parent / "search_spaces"


@pytest.fixture(scope="session")
def spaces() -> Path:
    """The folder of the shipped search spaces and settings."""
    return SPACES


@pytest.fixture(scope="session")
def load():
    """A fixed setting, read from its files."""
    return lambda path: study.read(path).setting()


SECRETS = {
    "WANDB_API_KEY": "5ec2e7" * 7,
    "AWS_SECRET_ACCESS_KEY": "planted/secret+of+a+bucket",
    "RAY_AUTH_TOKEN": "planted-token-of-a-cluster-0123456789",
}
"""What is in the environment of every study here, and must not get out of it."""


def run_study(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """`study` in a process of its own, where it may start a Ray of its own."""
    environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1", **SECRETS}
    command = [sys.executable, "-m", "study", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False, timeout=300)


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch):
    if cli := sys.modules.get("study.cli"):
        monkeypatch.setattr(cli.console, "_width", 120)


@pytest.fixture(scope="session")
def command():
    return run_study


@pytest.fixture(scope="session")
def hue_run(tmp_path_factory, spaces):
    """A small study of the shipped space, and what it printed."""

    out = tmp_path_factory.mktemp("runs")
    done = run_study(
        *("run", spaces / "hue.toml", "--name", "hue", "--out", out),
        *("--trials", 14, "--seeds", 4, "--steps", 300, "--cpus", 2, "--confirm", 2, "--audit", 0.7),
        *("--wandb", "trials", "--tensorboard"),
    )
    assert done.returncode == 0, done.stderr
    return study.load(out / "hue"), done


@pytest.fixture(scope="session")
def hue(hue_run):
    return hue_run[0]


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory):
    """A study in which trials end in every way there is."""

    out = tmp_path_factory.mktemp("runs")
    space = Path(__file__).parent / "study" / "spaces" / "outcomes.toml"
    done = run_study(
        *("run", space, "--name", "outcomes", "--out", out, "--trials", 24, "--seeds", 2, "--cpus", 2, "--rungs", 8),
        *("--confirm", 0),
    )
    assert done.returncode == 0, done.stderr
    return study.load(out / "outcomes")


@pytest.fixture(scope="session")
def browser():
    """A browser, driven by Playwright, that can reach nothing but this machine."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if found is None:
        pytest.skip("found no chromium or google-chrome on PATH")
    quiet = ("gpu", "quic", "background-networking", "component-update", "sync")
    flags = ["--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in quiet)]
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=found, args=flags)
