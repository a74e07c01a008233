"""What tests of several folders share: golden studies to be read, one that is run now, and which tests may start what."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from filelock import FileLock

import study
from study.record.writer import Writer
from study.watch.screen import console

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Use one thread, as workers do. Results are then the same to the last bit."""
    torch.set_num_threads(1)


SPACES = Path(__file__).parent.parent / "search_spaces"
OUTCOMES = Path(__file__).parent / "study" / "spaces" / "outcomes.toml"
GOLDEN = Path(__file__).parent / "golden"

LIVE = ("--trials", 24, "--seeds", 2, "--steps", 100, "--rungs", 5, "--audit", 0.5, "--cpus", 1)
"""What is asked of the study that is run now. With one worker, it is the same each time."""

STARTS = {"live", "browser"}
"""The fixtures that start what takes seconds; tests that use them are live."""

CONFORMANCE = {"test_a_study_runs_resumes_confirms_and_reports", "test_native_and_eager_steps_agree"}
"""The live tests of `study.testing`, of every experiment."""

NOWHERE = "/dev/null/only-live-tests-start-a-Ray"
"""Where no Ray can put its files, and so none starts."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: Any) -> None:
    """Mark the live tests, and run them first, as they take longest."""
    for item in items:
        if STARTS.intersection(item.fixturenames) or item.originalname in CONFORMANCE:
            item.add_marker(pytest.mark.live)
    items.sort(key=lambda item: not item.get_closest_marker("live"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: Any) -> Iterator[Any]:
    """Let no other test start a Ray, in this process or below it."""
    with pytest.MonkeyPatch.context() as patch:
        if not item.get_closest_marker("slow"):
            patch.setenv("WANDB_MODE", "disabled")
            if not item.get_closest_marker("live"):
                patch.setenv("RAY_TMPDIR", NOWHERE)
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    """A slow test that cannot run fails: who asks for it wants to know what it shows."""
    report = yield
    if report.skipped and item.get_closest_marker("slow") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session")
def spaces() -> Path:
    """The folder of the shipped search spaces and settings."""
    return SPACES


@pytest.fixture(scope="session")
def load() -> Any:
    """A fixed setting, read from its files."""
    return lambda path: study.read(path).setting()


@pytest.fixture(scope="session")
def subspace_ablation(load: Any, spaces: Path) -> Any:
    """The setting with which this project began."""
    return load(spaces / "subspace-ablation.toml")


SECRETS = {
    "WANDB_API_KEY": "5ec2e7" * 7,
    "AWS_SECRET_ACCESS_KEY": "planted/secret+of+a+bucket",
    "RAY_AUTH_TOKEN": "planted-token-of-a-cluster-0123456789",
}
"""What is in the environment of every study here, and must not get out of it."""


def run_study(*arguments: object, cwd: Path | None = None, wandb: str = "disabled") -> subprocess.CompletedProcess[str]:
    """`study` in a process of its own, where it may start a Ray of its own."""
    environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1", "WANDB_MODE": wandb, **SECRETS}
    command = [sys.executable, "-m", "study", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False, timeout=600)


def nobody_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process one of a user without a home, whom the system does not know."""

    def unknown(user: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {user}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setenv("HOME", "")  # to be put back at the end
    monkeypatch.delenv("HOME")


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a console of its own settings, whatever another did to them."""
    for name, value in {"_width": 120, "quiet": False, "stderr": False}.items():
        monkeypatch.setattr(console, name, value)


@pytest.fixture(scope="session")
def command() -> Any:
    return run_study


def golden(name: str, out: Path, experiment: Path | None = None) -> study.StudyFolder:
    """A copy of a golden study, as if the code at hand had run it."""
    path = shutil.copytree(GOLDEN / name, out / name)
    manifest, source = study.load(path).manifest(), study.load(path, experiment).source
    Writer(path).write_manifest({**manifest, "experiment": {**manifest["experiment"], "digest": source.digest}})
    return study.load(path)


@pytest.fixture(scope="session")
def hue(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small study of the shipped space, with a confirmation; to be read, and copied by who changes it."""
    return golden("hue", tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A study in which trials end in every way there is."""
    return golden("outcomes", tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def objectives(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A study of two objectives."""
    return golden("objectives", tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A study that is run now, whose trials end in every way, with all that a study can leave; and what it printed.

    The processes that tests run in share it. It is to be read.
    """
    here = tmp_path_factory.getbasetemp()
    out = here.parent if os.environ.get("PYTEST_XDIST_WORKER") else here
    printed = out / "live.json"
    with FileLock(out / "live.lock"):
        if not printed.exists():
            done = run_study(
                *("run", OUTCOMES, "--name", "live", "--out", out, *LIVE),
                *("--confirm", 2, "--wandb", "trials", "--tensorboard"),
                wandb="offline",
            )
            assert done.returncode == 0, done.stderr
            printed.write_text(json.dumps([done.stdout, done.stderr]))
    return study.load(out / "live"), subprocess.CompletedProcess([], 0, *json.loads(printed.read_text()))


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A browser, driven by Playwright, that can reach nothing but this machine."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    if found is None:
        pytest.skip("found no chromium or google-chrome on PATH")
    quiet = ("gpu", "quic", "background-networking", "component-update", "sync")
    flags = ["--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in quiet)]
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=found, args=flags)
