"""How a path between two settings is driven: found on a study's seeds, measured on held-out seeds, and reported."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from anchoring.errors import InputError
from study.driving import held, train_again, train_on
from study.evidence.confirmation import Candidate
from study.evidence.paths import between, walk
from study.experiment import Document
from study.record.folder import PATH, TRIED, StudyFolder
from study.record.writer import Writer
from study.search.plan import HELD_OUT, Plan
from study.watch import comparison
from study.watch.screen import console


def drive_path(folder: StudyFolder, plan: Plan, target: Document) -> None:
    """Find the order of the changes that lead from a study's only setting to another one, and measure each change.

    The order is found on the study's seeds. The settings on the path are measured on held-out seeds, since the best of
    several changes is also a lucky one.

    Raises FailedError if it is interrupted, a training fails, or something cannot be written.
    """
    start = folder.document(0)

    def train(choices: Mapping[str, Document]) -> pd.DataFrame:
        return train_on(folder, [Candidate.of(folder, *choice) for choice in choices.items()], folder.seeds())

    with held(folder, plan, "paths do not go on, begin anew"):
        order, tried = walk(start, target, folder.goal, lambda document: _is_valid(folder, document), train)
        Writer(folder.path).write(TRIED, tried.to_parquet(index=False))
        made = [order[:place] for place in range(1, len(order))]
        settings = [
            Candidate.of(folder, folder.manifest()["from"], start, 0),
            *(Candidate.of(folder, names[-1], between(start, target, names)) for names in made),
            Candidate.of(folder, order[-1], target),
        ]
        train_again(folder, settings, plan.held_out_seeds(HELD_OUT), PATH)
        console.print(comparison.path(folder))


def _is_valid(folder: StudyFolder, document: Document) -> bool:
    try:
        folder.space.validate(document)
    except InputError:
        return False
    return True
