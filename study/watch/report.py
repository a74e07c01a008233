"""Writing a report: a notebook of analysis/ is executed on a study's folder, and saved there as one HTML file."""

from __future__ import annotations

import asyncio
import html
import os
import site
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from importlib.resources import files
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import matplotlib
import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from jupyter_core.paths import ENV_JUPYTER_PATH, SYSTEM_JUPYTER_PATH
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbconvert import HTMLExporter
from traitlets.config import Config

from anchoring.errors import FailedError, InputError, reason
from study.record.folder import StudyFolder
from study.record.writer import Writer
from study.registry import GIVEN
from study.surroundings import expanded, socket_folder
from study.watch.pages import page_of

CONFIRMED = "confirmed"
"""The tag of the first cell of a notebook that needs the study's confirmation."""


def write_report(
    folder: StudyFolder,
    notebook: str = "",
    figures: Path | None = None,
    parameters: Mapping[str, Any] = MappingProxyType({}),
    confirmed: Future[None] | None = None,
) -> Path:
    """Execute a notebook on a study, and write it to the study's folder as one page that needs no other file.

    Args:
        folder: the study. The notebook's variable FOLDER is set to its path.
        notebook: the name of a notebook in analysis/, or a notebook's file. By default that of `page_of`.
        figures: a folder to which every figure is written, as SVG and as PDF.
        parameters: further variables of the notebook to set, by name.
        confirmed: ends when the study is confirmed, if that is still to come. Until then, the cells before the one
            with the tag `confirmed` are executed.

    Returns:
        The path of the page: the notebook's name with the suffix `.html`.

    Raises:
        InputError: if no trial is complete, or there is no such notebook.
        FailedError: if executing the notebook fails.
        CancelledError: if `confirmed` is cancelled.
    """
    if folder.complete().empty:
        raise InputError(f"{folder.path}: found no complete trial, expected at least one to report on")
    name, content = _find(notebook or page_of(folder))
    title = folder.name if name == page_of(folder) else f"{folder.name}: {name}"
    variables = {"FOLDER": str(folder.path.resolve()), "OTHERS": [], **parameters}
    return Writer(folder.path).write(f"{name}.html", _page(content, title, folder, figures, variables, confirmed))


def write_comparison(folders: Sequence[StudyFolder], to: Path, figures: Path | None = None) -> Path:
    """Execute the notebook `compare` on studies, and write it to a file as one page that needs no other file.

    Args:
        folders: the studies. The first is the one that the others are compared with.
        to: the file.
        figures: a folder to which every figure is written, as SVG and as PDF.

    Raises FailedError if executing the notebook fails.
    """
    _, content = _find("compare")
    first, *others = (str(folder.path.resolve()) for folder in folders)
    title = " and ".join(folder.name for folder in folders)
    page = _page(content, title, folders[0], figures, {"FOLDER": first, "OTHERS": others})
    return Writer(to.parent).write(to.name, page)


def _page(
    content: str,
    title: str,
    folder: StudyFolder,
    figures: Path | None,
    variables: Mapping[str, Any],
    confirmed: Future[None] | None = None,
) -> bytes:
    """A notebook, executed with these variables, as a page. The study says where the experiment is."""
    # readers of the page can do nothing about warnings; small matrices are fastest on one thread
    kernel = {**os.environ, "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    if folder.given:
        kernel[GIVEN] = str(Path(folder.given.file).absolute())  # for `study.load` in the notebook
    if figures:
        figures = expanded(figures)
        figures.mkdir(parents=True, exist_ok=True)
        kernel["STUDY_FIGURES"] = str(figures.resolve())
    executed = execute(content, kernel, variables, confirmed)
    exporter = _Exporter(  # type: ignore[no-untyped-call]
        template_name="basic",
        extra_template_basedirs=[],
        template_data_paths=[],
        exclude_input=True,
        exclude_output_prompt=True,
    )
    body, _ = exporter.from_notebook_node(executed)
    page = Template((files("analysis") / "page.html").read_text(encoding="utf-8"))
    return page.substitute(title=html.escape(title), body=body).encode()


def execute(
    content: str, environment: dict[str, str], parameters: Mapping[str, Any], confirmed: Future[None] | None = None
) -> nbformat.NotebookNode:
    """Execute a notebook, given as JSON. Parameters are set after its first code cell, which has their defaults.

    From the cell with the tag `confirmed` on, or the first cell without such a tag, it waits for `confirmed`.
    """
    try:
        notebook = nbformat.reads(content, as_version=4)
    except ValueError as error:
        raise InputError(f"--notebook: not a notebook: {error}, expected a Jupyter notebook, version 4") from None
    first = next((place for place, cell in enumerate(notebook.cells) if cell.cell_type == "code"), -1)
    source = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
    notebook.cells.insert(first + 1, nbformat.v4.new_code_cell(source))
    tagged = (place for place, cell in enumerate(notebook.cells) if CONFIRMED in cell.metadata.get("tags", []))
    waits_at = next(tagged, 0)

    def begin(cell: nbformat.NotebookNode, cell_index: int) -> None:
        if confirmed and (cell_index >= waits_at or confirmed.cancelled()):
            confirmed.result()

    # a kernel imports from its working directory, which may hold a stranger's files
    with TemporaryDirectory(dir=socket_folder()) as empty:
        no_port = {"transport": "ipc", "ip": f"{empty}/kernel", "connection_file": f"{empty}/kernel.json"}
        client = NotebookClient(
            notebook,
            timeout=600,
            kernel_name="python3",
            kernel_manager_class=_Kernel,
            config=Config({"AsyncKernelManager": no_port}),
            resources={"metadata": {"path": empty}},
            shutdown_kernel="immediate",
            on_cell_start=begin,
        )
        try:
            asyncio.run(client.async_execute(env=environment | _nobodys_settings(empty)))
        except CellExecutionError as error:
            raise FailedError(f"executing the notebook failed: {error.ename}: {error.evalue}") from error
        except (CellTimeoutError, DeadKernelError) as error:
            raise FailedError(f"executing the notebook failed: {reason(error)}") from error
    return notebook


class _Kernel(AsyncKernelManager):
    """A kernel of this Python, whatever kernels the user has installed."""

    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return KernelSpecManager(kernel_dirs=[])


class _Exporter(HTMLExporter):
    """An exporter that knows the templates that are installed with it only."""

    def get_prefix_root_dirs(self) -> list[str]:
        return [*ENV_JUPYTER_PATH, *SYSTEM_JUPYTER_PATH, f"{site.getuserbase()}/share/jupyter"]


def _nobodys_settings(empty: str) -> dict[str, str]:
    """Variables by which Python, IPython and matplotlib find defaults instead of the user's settings."""
    return {
        "IPYTHONDIR": empty,
        "MATPLOTLIBRC": str(matplotlib.get_data_path()) + "/matplotlibrc",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONSTARTUP": "",
        "PYTHONUTF8": "1",
        "PYTHONIOENCODING": "utf-8",
    }


def _find(notebook: str) -> tuple[str, str]:
    """A notebook's name and its content."""
    ours = {Path(file.name).stem: file for file in files("analysis").iterdir() if file.name.endswith(".ipynb")}
    file = ours.get(notebook, expanded(notebook))
    if not (file.is_file() and file.name.endswith(".ipynb")):
        expected = ", ".join(sorted(ours))
        raise InputError(f"--notebook: found {notebook!r}, expected one of {expected}, or the path of an .ipynb file")
    return Path(file.name).stem, file.read_text(encoding="utf-8")
