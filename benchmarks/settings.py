"""The colour experiment's settings, read from their files."""

from __future__ import annotations

from pathlib import Path

import study
from excolor.setting import ColorSetting

SUBSPACE_ABLATION = Path(__file__).parent.parent / "search_spaces" / "subspace-ablation.toml"


def read(path: Path, steps: int | None = None) -> ColorSetting:
    """A fixed setting. Its schedule is rescaled to `steps` steps, if they are given."""
    setting: ColorSetting = study.read(path, steps).setting()
    return setting
