"""Writing what a study says: a notebook of analysis/, executed on the study's folder, as one HTML file."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from traitlets.config import Config

from anchoring.errors import FailedError, InputError, reason
from study.record.folder import StudyFolder
from study.record.writer import Writer
from study.registry import GIVEN


def write_report(
    folder: StudyFolder,
    notebook: str = "report",
    figures: Path | None = None,
    parameters: Mapping[str, Any] = MappingProxyType({}),
) -> Path:
    """Execute a notebook with FOLDER set to the study's, write it there as <its name>.html, and return that path.

    notebook: one of analysis/ by its name, or a file. figures: a folder that gets every figure as SVG and as PDF.
    parameters: other values to set. The page refers to nothing outside itself. Raises InputError if there is nothing to
    report, or no such notebook, and FailedError if it cannot be executed.
    """
    if folder.best().empty:
        raise InputError(f"{folder.path}: found no {folder.goal.answer}, expected at least one to report on")
    name, content = _find(notebook)
    # a reader of the page can do nothing about warnings, and small matrices are fastest on one thread
    kernel = {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    if folder.given:
        kernel[GIVEN] = str(Path(folder.given.file).absolute())  # for `study.load` in the notebook
    if figures:
        figures.mkdir(parents=True, exist_ok=True)
        kernel["STUDY_FIGURES"] = str(figures.resolve())
    executed = execute(content, kernel, {"FOLDER": str(folder.path.resolve()), **parameters})
    exporter = HTMLExporter(
        template_name="basic", extra_template_basedirs=[], exclude_input=True, exclude_output_prompt=True
    )
    body, _ = exporter.from_notebook_node(executed)
    page = Template((files("analysis") / "page.html").read_text(encoding="utf-8"))
    title = html.escape(folder.name if name == "report" else f"{folder.name}: {name}")
    return Writer(folder.path).write(f"{name}.html", page.substitute(title=title, body=body).encode())


def execute(content: str, environment: dict[str, str], parameters: Mapping[str, Any]) -> nbformat.NotebookNode:
    """Execute a notebook, given as JSON, with parameters set after its first code cell, which sets them by default."""
    try:
        notebook = nbformat.reads(content, as_version=4)
    except ValueError as error:
        raise InputError(f"--notebook: is no notebook: {error}, expected Jupyter's JSON") from None
    first = next((place for place, cell in enumerate(notebook.cells) if cell.cell_type == "code"), -1)
    source = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    notebook.cells.insert(first + 1, nbformat.v4.new_code_cell(source))
    with TemporaryDirectory() as empty:  # a kernel imports from where it is, which may be a stranger's folder
        no_port = Config({"AsyncKernelManager": {"transport": "ipc", "ip": f"{empty}/kernel"}})
        there = {"metadata": {"path": empty}}
        client = NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            config=no_port,
            resources=there,
            shutdown_kernel="immediate",
        )
        try:
            client.execute(env=environment)
        except CellExecutionError as error:
            raise FailedError(f"the notebook cannot be executed: {error.ename}: {error.evalue}") from error
        except (CellTimeoutError, DeadKernelError) as error:
            raise FailedError(f"the notebook cannot be executed: {reason(error)}") from error
    return notebook


def _find(notebook: str) -> tuple[str, str]:
    """The name of a notebook and its content."""
    ours = {Path(file.name).stem: file for file in files("analysis").iterdir() if file.name.endswith(".ipynb")}
    file = ours.get(notebook, Path(notebook))
    if not (file.is_file() and file.name.endswith(".ipynb")):
        expected = ", ".join(sorted(ours))
        raise InputError(f"--notebook: found {notebook!r}, expected one of {expected}, or a notebook's file")
    return Path(file.name).stem, file.read_text(encoding="utf-8")
