"""What tests of a study's folder share."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from study.record.folder import StudyFolder


@pytest.fixture
def canary(tmp_path: Path) -> Any:
    """What a payload that runs makes."""
    return tmp_path / "canary"


@pytest.fixture
def copied(hue: StudyFolder, tmp_path: Path) -> Any:
    """A copy of a study, to be spoilt."""
    shutil.copytree(hue.path, tmp_path / "hue", symlinks=True)
    return tmp_path / "hue"
