"""Which notebook reports a study."""

from __future__ import annotations

from study.record.folder import ARMS, PATH, VARIED, StudyFolder
from study.search.points import LISTED, SOBOL


def page_of(folder: StudyFolder) -> str:
    """The name of the notebook that reports a study: `map` of a survey, `arms`, `variance`, `path`, else `report`."""
    for file, page in {ARMS: "arms", VARIED: "variance", PATH: "path"}.items():
        if (folder.path / file).is_file():
            return page
    return "map" if folder.manifest().get("listed") in (SOBOL, LISTED) else "report"
