"""The method: regularizers, under a schedule, that press a concept into chosen latent dimensions; and its ablation."""

from anchoring.errors import InputError
from anchoring.setting import Setting

__all__ = ["InputError", "Setting"]
