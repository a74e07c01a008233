"""What tests of a study's folder share."""

import shutil

import pytest


@pytest.fixture
def canary(tmp_path):
    """What a payload that runs makes."""
    return tmp_path / "canary"


@pytest.fixture
def copied(hue, tmp_path):
    """A copy of a study, to be spoilt."""
    shutil.copytree(hue.path, tmp_path / "hue", symlinks=True)
    return tmp_path / "hue"
