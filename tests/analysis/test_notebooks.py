from pathlib import Path

import nbformat
from nbclient import NotebookClient

import analysis

EXPERIMENT = Path(analysis.__file__).parent / "experiment.ipynb"


def images(notebook):
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output for output in outputs if "image/png" in output.get("data", {})]


def test_the_walk_through_runs_and_is_committed_with_its_pictures():
    committed = nbformat.read(EXPERIMENT, as_version=4)
    assert len(images(committed)) == 10
    assert all(len(output.metadata["image/png"]["alt"]) > 20 for output in images(committed))
    executed = nbformat.read(EXPERIMENT, as_version=4)
    NotebookClient(executed, timeout=600, kernel_name="python3").execute()
    assert len(images(executed)) == 10
