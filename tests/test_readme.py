"""What README.md tells a Python user to write works as it stands."""

import re
import shutil
from pathlib import Path

import pandas as pd
import torch

ROOT = Path(__file__).parent.parent


def test_the_python_example_runs(hue, tmp_path, monkeypatch):
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)
    assert '"runs/hue-001"' in example
    shutil.copytree(hue.path, tmp_path / "runs" / "hue-001", ignore=shutil.ignore_patterns("wandb", "ray"))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(compile(example, "README.md", "exec"), names)
    folder, best = names["folder"], names["best"]
    assert isinstance(folder.trials, pd.DataFrame)
    assert isinstance(folder.model(best), torch.nn.Module)
    assert folder.model(best)(torch.rand(4, 5, 3)).shape == (4, 5, 3)
    assert folder.optuna().best_trial.number == best
