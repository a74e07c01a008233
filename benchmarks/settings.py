"""The colour experiment's settings, read from their files."""

from __future__ import annotations

from pathlib import Path

import study
from excolor.setting import ColorSetting

ROOT = Path(__file__).parent.parent
SUBSPACE_ABLATION = ROOT / "search_spaces" / "subspace-ablation.toml"
RACED = {
    "subspace-ablation": SUBSPACE_ABLATION,
    "hue-deletion": ROOT / "search_spaces" / "hue-deletion.toml",
    "hue-open": ROOT / "analysis" / "published" / "hue-open" / "best" / "hue-open-1570.toml",
}
"""The settings in which training is timed beside JAX."""


def read(path: Path, steps: int | None = None) -> ColorSetting:
    """A fixed setting. Its schedule is rescaled to `steps` steps, if they are given."""
    setting: ColorSetting = study.read(path, steps).setting()
    return setting
