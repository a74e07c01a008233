"""The study in TensorBoard: a run for each trial, with its metrics at each rung and its parameters."""

from __future__ import annotations

from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from study.record.folder import StudyFolder
from study.record.tables import metric_means
from study.search.trial import Report, Row


class Curves:
    """Writes event files to the folder `tensorboard` of the study while it runs; `tensorboard --logdir` shows them."""

    def __init__(self, folder: StudyFolder):
        self._folder = folder.path / "tensorboard"
        self._writers: dict[int, SummaryWriter] = {}  # the writers of running trials

    def started(self, trial: int) -> None:
        """A trial starts, or starts again because its worker died."""
        if writer := self._writers.pop(trial, None):
            writer.close()

    def reported(self, trial: int, report: Report) -> None:
        """A trial has reported one or more rungs: write the means of its metrics over its replicas."""
        if trial not in self._writers:  # purge what an interrupted run of this trial wrote
            self._writers[trial] = SummaryWriter(str(self._folder / f"{trial:05d}"), purge_step=0)
        if report.heats > 1:  # a step has one place on a curve: that of the first heat of seeds
            return
        for step, rows in report.replicas.groupby("step"):
            for name, mean in metric_means(rows).items():
                self._writers[trial].add_scalar(name, mean, step)

    def ended(self, row: Row) -> None:
        """A trial has ended: write its parameters and final metrics, for TensorBoard's table of hyperparameters."""
        if writer := self._writers.pop(row["trial"], None):
            parameters = {k.removeprefix("param."): value for k, value in row.items() if k.startswith("param.")}
            metrics = {k.removesuffix(".mean"): value for k, value in row.items() if k.endswith(".mean")}
            for summary in hparams(parameters, metrics):
                writer.file_writer.add_summary(summary)
            writer.close()
