"""The colour experiment's settings, read from their files."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path

from anchoring.dopesheet import Dopesheet, rescale
from excolor.experiment import experiment
from excolor.setting import ColorSetting

SEED = Path(__file__).parent.parent / "search_spaces" / "seed.toml"


def read(path: Path, steps: int | None = None) -> ColorSetting:
    """A fixed setting, its schedule rescaled to so many steps."""
    document = tomllib.loads(path.read_text())
    schedule = path.parent / document["schedule"]
    rows = list(csv.reader(schedule.read_text().splitlines()))
    setting = experiment.setting({**document, "schedule": {"file": str(schedule), "rows": rows}}, path)
    return setting.model_copy(update={"schedule": Dopesheet.parse(rescale(rows, steps))}) if steps else setting
