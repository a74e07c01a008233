"""How the parts of seeds are varied apart: every combination is trained, and its rows are written and reported."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from study.driving import held, train_on
from study.evidence.components import PARTS, design
from study.evidence.confirmation import Candidate
from study.record.folder import VARIED, StudyFolder
from study.record.writer import Writer
from study.search.plan import Plan
from study.watch import summary
from study.watch.screen import console


def drive_variance(folder: StudyFolder, plan: Plan, factors: Sequence[tuple[str, ...]], levels: int) -> None:
    """Train a study's only setting on every combination of its factors' levels, and report.

    Raises FailedError if it is interrupted, a training fails, or something cannot be written.
    """
    chosen = design(factors, levels, plan.replica_seeds[0])
    apart = folder.experiment.apart  # type: ignore[attr-defined]
    seeds = [apart(number, **parts) for number, parts in enumerate(chosen)]
    with held(folder, plan, "combinations do not go on, run them again"):
        whole = Candidate.of(folder, "every combination", folder.document(0), 0)
        rows = train_on(folder, [whole], seeds).set_index("seed").sort_index()
        table = pd.DataFrame(chosen)[list(PARTS)].join(rows.drop(columns=["setting", "trial"]))
        Writer(folder.path).write(VARIED, table.to_parquet(index=False))
        console.print(summary.variance(folder))
