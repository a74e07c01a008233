"""Noisy labels: which samples are said to be red or vibrant, and how often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from anchoring.fields import Positive, Share, Table
from excolor import colors

AFFINITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "redness": colors.redness,
    "greenness": colors.greenness,
    "blueness": colors.blueness,
    "cyanness": colors.cyanness,
    "magentaness": colors.magentaness,
    "yellowness": colors.yellowness,
    "vibrancy": colors.vibrancy,
    "desaturation": colors.desaturation,
}


class Label(Table):
    """A label that a sample carries with probability `scale x of(colour)^power`.

    A coin is tossed for each sample, or, if `soft`, the probability itself is the label. `noise` is the probability
    that a label is wrong: that one is missing where it should be, or there where it should not.
    """

    of: Literal["redness", "greenness", "blueness", "cyanness", "magentaness", "yellowness", "vibrancy", "desaturation"]
    power: Positive = 1
    scale: Share = 1
    soft: bool = False
    noise: Share = 0

    def probability(self, rgb: Tensor) -> Tensor:
        """How likely a sample of each colour is to carry the label: [..., 3] to [...].

        A coin that lands p and is then turned over with probability `noise` lands `p (1 - noise) + (1 - p) noise`.
        """
        p = self.scale * AFFINITIES[self.of](rgb).clamp(0, 1).pow(self.power)
        return p * (1 - self.noise) + (1 - p) * self.noise
