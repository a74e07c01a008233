"""optuna-dashboard on a real study, seen by a browser."""

import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState
from typer.testing import CliRunner

import study
from anchoring import InputError
from study import cli
from study.record.folder import StudyFolder
from study.search import journal


@pytest.fixture
def served(hue: StudyFolder, tmp_path: Path) -> Iterator[Any]:
    """A study with a trial that still runs, and where it is served by command line."""
    folder = study.load(shutil.copytree(hue.path, tmp_path / "hue", ignore=shutil.ignore_patterns("wandb", "ray")))
    journal.storage(folder.path).create_new_trial(0)
    command = [sys.executable, "-m", "study", "dashboard", str(folder.path), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    url = process.stdout.readline().split()[-1]
    yield folder, url
    process.send_signal(signal.SIGINT)
    said, complaints = process.communicate(timeout=60)
    assert (process.returncode, said, complaints) == (0, "ended\n", "")


def ask(method: Any, url: Any, **body: Any) -> Any:
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_it_shows_states_rungs_and_importance(served: Any, browser: Any) -> None:
    folder, url = served
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
    page = browser.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{url}/dashboard/studies/0")
    plot = page.locator(".js-plotly-plot", has_text="Hyperparameter Importance")
    plot.first.wait_for(timeout=60_000)
    for name in folder.space.distributions:
        plot.get_by_text(name, exact=True).first.wait_for(timeout=60_000)
    page.goto(f"{url}/dashboard/studies/0/trials?numbers={folder.best().trial.item()}")
    page.get_by_text("Intermediate Values").first.wait_for(timeout=60_000)
    said = page.inner_text("body")
    for step, value in folder.optuna().trials[folder.best().trial.item()].intermediate_values.items():
        assert value in map(float, re.findall(rf"\b{step} ([\d.e-]+)", said))
    counts = folder.trials().state.value_counts()
    for state, count in {"Complete": counts.complete + 1, "Pruned": counts.stopped, "Running": 1}.items():
        assert len(re.findall(rf"^{state}$", said, re.M)) == count  # the one that is shown is told twice
    page.close()
    assert not errors


def test_only_notes_can_be_written(served: Any) -> None:
    folder, url = served
    before = (folder.path / "optuna.journal").read_bytes()
    for method, path in {"DELETE": "studies/0", "POST": "studies/0/rename"}.items():
        assert ask(method, f"{url}/api/{path}", study_name="mine") == 403
    assert ask("POST", f"{url}/api/trials/14/tell", state="FAIL") == 403
    assert (folder.path / "optuna.journal").read_bytes() == before
    assert ask("PUT", f"{url}/api/studies/0/note", version=1, body="promising") == 204
    search = folder.optuna()  # a note hurts nobody
    assert [trial.state for trial in search.trials].count(TrialState.RUNNING) == 1
    assert search.best_trial.number == folder.best().trial.item()


def test_without_the_extra_one_line_says_what_to_install(hue: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna_dashboard", None)
    result = CliRunner().invoke(cli.app, ["dashboard", str(hue.path)])
    assert isinstance(result.exception, InputError)
    assert str(result.exception).endswith("pip install optuna-dashboard")


def test_a_port_that_is_taken(hue: StudyFolder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = CliRunner().invoke(cli.app, ["dashboard", str(hue.path), "--port", str(taken.getsockname()[1])])
    assert isinstance(result.exception, InputError)
    assert "--port" in str(result.exception)
