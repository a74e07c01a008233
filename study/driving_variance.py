"""How the parts of seeds are varied apart: every combination is trained, and its rows are written and reported."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import pandas as pd

from anchoring.errors import FailedError
from study.driving import mirrored, train_on, writing
from study.evidence.components import PARTS, design
from study.evidence.confirmation import Candidate
from study.record import lock
from study.record.folder import VARIED, StudyFolder
from study.record.writer import Writer
from study.search.interrupt import interruptible, interrupts_restored
from study.search.plan import Plan
from study.watch import summary
from study.watch.screen import console


def drive_variance(folder: StudyFolder, plan: Plan, factors: Sequence[tuple[str, ...]], levels: int) -> None:
    """Train a study's only setting on every combination of its factors' levels, and report.

    Raises FailedError if it is interrupted, a training fails, or something cannot be written.
    """
    from study.cluster.connect import cluster, expect_start

    expect_start(plan)
    chosen = design(factors, levels, plan.replica_seeds[0])
    apart = folder.experiment.apart  # type: ignore[attr-defined]
    seeds = [apart(number, **parts) for number, parts in enumerate(chosen)]
    try:
        with (
            interrupts_restored(),
            lock.driving(folder.path),
            interruptible(),
            mirrored(folder),
            ExitStack() as report,
            cluster(plan.workers, plan.address, preload=folder.source.modules),
        ):
            whole = Candidate("every combination", folder.space, folder.document(0), 0, bool(folder.plan().compiled))
            rows = train_on(folder, [whole], seeds).set_index("seed").sort_index()
            table = pd.DataFrame(chosen)[list(PARTS)].join(rows.drop(columns=["setting", "trial"]))
            Writer(folder.path).write(VARIED, table.to_parquet(index=False))
            console.print(summary.variance(folder))
            report.enter_context(writing(folder))
    except KeyboardInterrupt:
        raise FailedError(f"{folder.path}: interrupted; combinations do not go on, run them again") from None
    except OSError as error:
        raise FailedError(f"{error.filename or folder.path}: {error.strerror or error}") from None
