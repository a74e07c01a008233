"""Noisy labels: which samples are said to be red or vibrant, and how often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat
from torch import Tensor

from excolor import colors

AFFINITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "redness": colors.redness,
    "greenness": colors.greenness,
    "blueness": colors.blueness,
    "vibrancy": colors.vibrancy,
}


class Label(BaseModel):
    """A label that a sample carries with probability `scale x of(colour)^power`; then a coin is tossed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    of: Literal["redness", "greenness", "blueness", "vibrancy"]
    power: PositiveFloat = 1
    scale: Annotated[float, Field(ge=0, le=1)] = 1

    def probability(self, rgb: Tensor) -> Tensor:
        """How likely a sample of each colour is to carry the label: [..., 3] to [...]."""
        return self.scale * AFFINITIES[self.of](rgb).clamp(0, 1).pow(self.power)
