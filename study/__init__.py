"""The study framework: Ray Tune launches trials of a search space, Optuna proposes them, results reach a folder."""

from study.record.folder import StudyFolder
from study.record.loading import load
from study.space.space import Space, read

__version__ = "0.1.0"

__all__ = ["Space", "StudyFolder", "__version__", "load", "read"]
