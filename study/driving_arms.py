"""How arms are driven: trained on common seeds, judged, perhaps simplified, and reported."""

from __future__ import annotations

import pandas as pd

from study.driving import confirm_on, held, train_again, train_on
from study.evidence.arms import REFERENCE, Arm
from study.evidence.confirmation import Candidate
from study.evidence.simplifying import simplify
from study.experiment import Document
from study.record.folder import ARMS, StudyFolder
from study.record.writer import Writer, plain_name
from study.search.plan import HELD_OUT, Plan
from study.space.document import write_setting
from study.watch import summary
from study.watch.screen import console

SIMPLEST = "simplest"
"""The name of the setting that is left when all changes that cost nothing are made, and of its folder."""


def drive_arms(folder: StudyFolder, plan: Plan, arms: list[Arm], simplified: bool) -> None:
    """Train the arms of a study's only setting on its seeds, judge them, perhaps simplify the setting, and report.

    Raises FailedError if it is interrupted, a training fails, or something cannot be written.
    """
    with held(folder, plan, "what was trained is kept, but arms do not go on"):
        whole, *changed = _candidates(folder, arms)
        train_again(folder, [whole, *changed], folder.seeds(), ARMS)
        console.print(summary.arms(folder))
        if simplified:
            _simplify(folder, arms)


def _candidates(folder: StudyFolder, arms: list[Arm]) -> list[Candidate]:
    """The setting as it is, and its arms."""
    document = folder.document(0)
    return [
        Candidate.of(folder, REFERENCE, document, 0),
        *(Candidate.of(folder, arm.name, arm.change(document)) for arm in arms),
    ]


def _simplify(folder: StudyFolder, arms: list[Arm]) -> None:
    """Accept the arms that cost nothing, confirm the simplest setting beside the reference, and write it as files."""
    document = folder.document(0)

    def train(name: str, changed: Document) -> pd.DataFrame:
        return train_on(folder, [Candidate.of(folder, name, changed)], folder.seeds())

    simplest, accepted, tried = simplify(document, arms, folder.arms(), folder.goal, train)
    writer = Writer(folder.path)
    writer.write("simplifying.parquet", tried.to_parquet(index=False))
    writer.write_manifest({**folder.manifest(), "accepted": accepted})
    if not accepted:
        console.print("simplest: the setting as it is, since every change makes something worse")
        return
    title = f"{document.get('title', folder.name)}, simplified: {', '.join(accepted)}"
    stem = f"{plain_name(folder.name)}-{SIMPLEST}"
    file = write_setting(simplest | {"title": title}, folder.path / SIMPLEST, stem)
    chosen = [Candidate.of(folder, REFERENCE, document, 0), Candidate.of(folder, SIMPLEST, simplest)]
    confirm_on(folder, chosen, HELD_OUT)
    console.print(f"simplest: {file} ({', '.join(accepted)})", soft_wrap=True, highlight=False, markup=False)
