"""Every notebook runs on a small study, is committed with what it shows of the published one, and is a readable page."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest

import analysis
import study
from study.record.folder import StudyFolder
from study.watch.report import write_report

NOTEBOOKS = sorted(Path(analysis.__file__).parent.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_without_errors_and_timestamps(path: Any) -> None:
    outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
    assert outputs
    assert not [output for output in outputs if output.output_type in ("error", "stream")]
    images = [output for output in outputs if "image/png" in output.get("data", {})]
    assert all(len(image.metadata["image/png"]["alt"]) > 20 for image in images)
    folded = "".join(output.data.get("text/html", "") for output in outputs if "data" in output)
    assert all(len(alt) > 20 for alt in re.findall(r'<img [^>]*alt="([^"]*)"', folded))
    assert path.stat().st_size < 3e6


@pytest.fixture(scope="module", params=[path.stem for path in NOTEBOOKS])
def page(request: pytest.FixtureRequest, hue: StudyFolder) -> Any:
    """A notebook executed on the small study, as a page; the report is there already."""
    path = hue.path / f"{request.param}.html"
    return path if path.exists() else write_report(hue, request.param, parameters={"REPLICAS": 4})


def test_it_runs_and_reads_well_on_a_desk_and_on_a_phone(page: Any, browser: Any) -> None:
    for width, scheme in ((1280, "light"), (390, "dark")):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        logged: list[str] = []
        asked: list[str] = []
        tab = context.new_page()
        tab.on("console", lambda message, logged=logged: logged.append(message.text))
        tab.on("pageerror", lambda error, logged=logged: logged.append(str(error)))
        tab.on("request", lambda request, asked=asked: asked.append(request.url))
        tab.goto(page.as_uri())
        assert tab.evaluate("document.scrollingElement.scrollWidth <= document.scrollingElement.clientWidth")
        assert not logged
        assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
        assert tab.title()
        assert tab.locator("h1").count() == 1
        assert not tab.evaluate("[...document.querySelectorAll('img')].filter(i => (i.alt || '').length < 20).length")
        labelled = "[...document.querySelectorAll('svg')].every(s => s.getAttribute('aria-label')?.length > 20)"
        assert tab.evaluate(labelled)
        assert tab.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
        context.close()


@pytest.mark.live
def test_a_report_without_the_experiment_says_what_needs_it(hue: StudyFolder, tmp_path: Path) -> None:
    """Its tables, its search and its importances are there all the same."""
    shutil.copytree(hue.path, tmp_path / "hue")
    manifest = json.loads((tmp_path / "hue" / "manifest.json").read_text())
    manifest["experiment"]["name"] = "mine"
    (tmp_path / "hue" / "manifest.json").write_text(json.dumps(manifest))
    page = write_report(study.load(tmp_path / "hue")).read_text()
    assert page.count("This needs the study's experiment: experiment 'mine' is not installed, expected one of") == 2
    assert "--experiment FILE.py" in page
    for there in ("The confirmed settings", "What is not known", "Which parameters matter", "is best: mean isolation"):
        assert there in page
    assert "of the pairs of complete trials differ in isolation" in page
    assert "typical difference between two settings in bands of seed noise" in page
    assert "because fewer than 20 trials tell" in page
    assert "Named colours" not in page
