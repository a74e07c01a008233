"""Writing a study's report: the notebook of analysis/, executed on the study's folder, as one HTML file."""

from __future__ import annotations

import html
import os
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from traitlets.config import Config

from excolor import InputError
from study.folder import StudyFolder

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ max-width: 70rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui, sans-serif; color: #222; }}
img {{ max-width: 100%; height: auto; }}
p, ul {{ max-width: 48rem; }}
table {{ border-collapse: collapse; font-size: 0.875rem; font-variant-numeric: tabular-nums; }}
th, td {{ padding: 0.2rem 0.8rem 0.2rem 0; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }}
th:first-child {{ text-align: left; }}
.scroll {{ overflow-x: auto; }}
.anchor-link {{ display: none; }}
</style>
{body}
</html>
"""


def write_report(folder: StudyFolder) -> Path:
    """Execute analysis/report.ipynb with FOLDER set to the study's and write report.html there; return its path.

    The page refers to nothing outside itself. Raises InputError if there is nothing to report.
    """
    if folder.best().empty:
        raise InputError(f"{folder.path}: found no complete trial, expected at least one to report on")
    notebook = nbformat.reads((files("analysis") / "report.ipynb").read_text(encoding="utf-8"), as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(f"FOLDER = {str(folder.path.resolve())!r}"))
    with TemporaryDirectory() as sockets:
        no_port = Config({"AsyncKernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}})
        client = NotebookClient(notebook, timeout=600, kernel_name="python3", config=no_port)
        client.execute(env={**os.environ, "PYTHONWARNINGS": "ignore"})  # a reader of the page can do nothing about them
    exporter = HTMLExporter(template_name="basic", exclude_input=True, exclude_output_prompt=True)
    body, _ = exporter.from_notebook_node(notebook)
    return folder.write("report.html", _PAGE.format(title=html.escape(folder.name), body=body).encode())
