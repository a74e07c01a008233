"""The experiment: train colour autoencoders so that a concept lives where you want it, ablate it, and measure.

`excolor.training.train` trains a setting; it is not imported here since Lightning takes seconds to import.
"""

from excolor.errors import InputError
from excolor.setting import Setting, load

__all__ = ["InputError", "Setting", "load"]
