import gc
import re
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest

from anchoring import InputError
from study.record.folder import StudyFolder
from study.watch.report import write_report


def test_the_report_answers_with_pictures_and_without_the_network(live: Any) -> None:
    folder, _ = live
    page = (folder.path / "report.html").read_text()
    best = folder.best().iloc[0]
    assert f"is trial {best.trial}: mean isolation {best['isolation.mean']:.3f}" in page
    pictures = re.findall(r"<img [^>]*src=\"data:image/png;base64,[^>]*>", page)
    assert len(pictures) >= 6
    assert all(re.search(r'alt="[^"]{20,}"', picture) for picture in pictures)
    assert not re.search(r"(src|href)=\"(https?:)?//", page)
    assert "@import" not in page
    assert "Traceback" not in page
    assert "Warning" not in page
    assert "stderr" not in page  # no library's log lines


@pytest.mark.live
def test_several_objectives_have_a_report_of_their_front(objectives: Any) -> None:
    (objectives.path / "report.html").write_text("an older one")
    with ThreadPoolExecutor(1) as aside:
        page = aside.submit(write_report, objectives).result()
    gc.collect()  # an event loop of that thread that was not closed would be a warning now, and warnings are errors
    assert page == objectives.path / "report.html"
    assert "What can be had together" in page.read_text()


@pytest.mark.live
def test_a_training_that_was_kept_has_a_report(
    spaces: Path, tmp_path: Path, command: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    done = command(
        "train", spaces / "hue-deletion.toml", "--seeds", 2, "--steps", 60, "--name", "one", "--out", tmp_path
    )
    assert done.returncode == 0, done.stderr
    done = command("report", "one", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "One setting, trained on its own" in (tmp_path / "one" / "report.html").read_text()


def test_nothing_to_report_is_one_line(hue: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    trials = hue.trials().assign(state="stopped")
    monkeypatch.setattr(type(hue), "trials", lambda _: trials)
    with pytest.raises(InputError, match="found no complete trial"):
        write_report(hue)


def test_a_notebook_that_is_not_there_is_one_line(hue: StudyFolder) -> None:
    with pytest.raises(
        InputError,
        match=r"--notebook: found 'x', expected one of arms, compare, controls, early-stopping, experiment, map",
    ):
        write_report(hue, "x")


@pytest.mark.live
def test_ones_own_notebook_gets_the_folder_and_leaves_its_figures(hue: StudyFolder, tmp_path: Path) -> None:
    cells = [
        "FOLDER = 'elsewhere'",
        "import study\nfrom matplotlib.figure import Figure\nfrom analysis import page",
        "page.show(Figure(), 'mine', 'Nothing, of ' + study.load(FOLDER).name)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "own.ipynb")
    path = write_report(hue, str(tmp_path / "own.ipynb"), tmp_path / "figures")
    assert path == hue.path / "own.html"
    assert 'alt="Nothing, of hue"' in path.read_text()
    assert sorted(file.name for file in (tmp_path / "figures").iterdir()) == ["mine.pdf", "mine.svg"]


@pytest.mark.live
def test_a_report_is_begun_before_the_study_is_confirmed(hue: StudyFolder, tmp_path: Path) -> None:
    before, after = files = [tmp_path / name for name in ("before", "after")]
    cells = [nbformat.v4.new_code_cell(f"open({str(file)!r}, 'w').close()") for file in files]
    cells[1].metadata["tags"] = ["confirmed"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "begun.ipynb")
    confirmed, page = Future[None](), hue.path / "begun.html"

    def confirm() -> list[bool]:
        for _ in range(2000):
            if before.exists():
                break
            time.sleep(0.05)
        time.sleep(1)
        try:
            return [after.exists(), page.exists()]
        finally:
            confirmed.set_result(None)

    with ThreadPoolExecutor(1) as aside:
        begun = aside.submit(confirm)
        assert write_report(hue, str(tmp_path / "begun.ipynb"), confirmed=confirmed) == page
    assert begun.result() == [False, False]
    assert after.exists()
    page.unlink()
    cancelled = Future[None]()
    cancelled.cancel()
    with pytest.raises(CancelledError):
        write_report(hue, str(tmp_path / "begun.ipynb"), confirmed=cancelled)
    assert not page.exists()
