"""Taking latent dimensions away from trained models."""

from __future__ import annotations

import copy
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from excolor.models import ColorMLP


class Ablation(BaseModel):
    """Which dimensions of which layer are taken away after training."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    layer: str = "encoder"
    dims: Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = (0, 1)

    def apply(self, model: ColorMLP) -> ColorMLP:
        """A copy of the model whose weights that write `dims` (rows and biases) and that read them are zero.

        A normalised bottleneck renormalises what is left.
        """
        dims = list(self.dims)
        ablated = copy.deepcopy(model)
        with torch.no_grad():
            ablated.encoder.last.weight[:, :, dims] = 0
            ablated.encoder.last.bias[:, :, dims] = 0
            ablated.decoder.first.weight[:, dims, :] = 0
        return ablated
