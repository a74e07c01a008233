"""Which notebook reports a study."""

from __future__ import annotations

from study.record.folder import ARMS, StudyFolder
from study.search.points import LISTED, SOBOL


def page_of(folder: StudyFolder) -> str:
    """The name of the notebook that reports a study: `map` for a survey, `arms` for arms, else `report`."""
    if (folder.path / ARMS).is_file():
        return "arms"
    return "map" if folder.manifest().get("listed") in (SOBOL, LISTED) else "report"
