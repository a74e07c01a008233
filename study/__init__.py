"""The study framework: Ray Tune launches trials of a search space, Optuna proposes them, results reach a folder."""

from study.record.folder import StudyFolder, load

__all__ = ["StudyFolder", "load"]
