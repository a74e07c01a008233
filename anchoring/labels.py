"""Noisy labels: which samples are said to have something, and how often."""

from __future__ import annotations

from torch import Tensor

from anchoring.fields import Config, Positive, Share


class Label(Config):
    """A label that a sample carries with probability `scale x attribute^power`.

    `of` names one of the attributes that the experiment's data have. A coin is tossed for each sample, or, if `soft`,
    the probability itself is the label. `noise` is the probability that a label is wrong: that it is missing where it
    should be, or there where it should not.
    """

    of: str
    power: Positive = 1
    scale: Share = 1
    soft: bool = False
    noise: Share = 0

    def probability(self, attribute: Tensor) -> Tensor:
        """How likely samples of this attribute are to carry the label, in [0, 1], of the same shape.

        A coin that lands p and is then turned over with probability `noise` lands `p (1 - noise) + (1 - p) noise`.
        """
        p = self.scale * attribute.clamp(0, 1).pow(self.power)
        return p * (1 - self.noise) + (1 - p) * self.noise
