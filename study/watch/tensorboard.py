"""The study for TensorBoard: a run for each trial, with its curves over the rungs, its parameters and its metrics."""

from __future__ import annotations

from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from study.record.folder import StudyFolder
from study.record.tables import metric_means
from study.search.trial import Report, Row


class Curves:
    """Writes, as trials go on, what `tensorboard --logdir` of the study's folder tensorboard/ shows."""

    def __init__(self, folder: StudyFolder):
        self._folder = folder.path / "tensorboard"
        self._writers: dict[int, SummaryWriter] = {}  # of the trials that are running

    def started(self, trial: int) -> None:
        """A trial has begun, maybe anew, its worker having died."""
        if writer := self._writers.pop(trial, None):
            writer.close()

    def reported(self, trial: int, report: Report) -> None:
        """A trial has come to a rung: write its metrics, means over its replicas."""
        if trial not in self._writers:  # from step 0 on: an interrupted trial begins anew
            self._writers[trial] = SummaryWriter(str(self._folder / f"{trial:05d}"), purge_step=0)
        for name, mean in metric_means(report.replicas).items():
            self._writers[trial].add_scalar(name, mean, report.step)

    def ended(self, row: Row) -> None:
        """A trial has ended: write its parameters, beside the metrics to compare them by."""
        if writer := self._writers.pop(row["trial"], None):
            parameters = {k.removeprefix("param."): value for k, value in row.items() if k.startswith("param.")}
            metrics = {k.removesuffix(".mean"): value for k, value in row.items() if k.endswith(".mean")}
            for summary in hparams(parameters, metrics):
                writer.file_writer.add_summary(summary)
            writer.close()
