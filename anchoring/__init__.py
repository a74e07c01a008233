"""The method: regularizers, under a schedule, that press a concept into chosen latent dimensions; and its ablation."""

from anchoring.data import Data
from anchoring.erasure import Target
from anchoring.errors import InputError
from anchoring.experiment import AnchoredExperiment
from anchoring.fields import Config
from anchoring.labels import Label
from anchoring.layers import Edited, activations
from anchoring.replicas import Replicas
from anchoring.setting import Sampling, Setting
from anchoring.terms import TERMS, Seen, Term

__all__ = [
    "TERMS",
    "AnchoredExperiment",
    "Config",
    "Data",
    "Edited",
    "InputError",
    "Label",
    "Replicas",
    "Sampling",
    "Seen",
    "Setting",
    "Target",
    "Term",
    "activations",
]
