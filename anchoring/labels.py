"""Noisy labels: how likely a sample is to be labelled."""

from __future__ import annotations

from torch import Tensor

from anchoring.fields import Config, Positive, Share


class Label(Config):
    """A label that a sample carries with probability `scale x attribute^power`.

    A coin is tossed each time a sample is drawn.

    Attributes:
        of: the attribute that the probability depends on: a key of `Data.attributes`.
        power: how sharply the probability falls as the attribute does.
        scale: the probability where the attribute is 1.
        invert: use 1 minus the attribute instead: the label is for samples that have little of it.
        soft: use the probability itself as the label, instead of tossing a coin.
        noise: the probability that a label is wrong: missing where it should be, or present where it should not.

    Examples:
        >>> Label(of="redness", power=2, scale=0.5).probability(torch.tensor([0.0, 0.5, 1.0]))
        tensor([0.0000, 0.1250, 0.5000])
        >>> Label(of="redness", invert=True).probability(torch.tensor([0.0, 0.2, 1.0]))
        tensor([1.0000, 0.8000, 0.0000])
    """

    of: str
    power: Positive = 1
    scale: Share = 1
    invert: bool = False
    soft: bool = False
    noise: Share = 0

    def probability(self, attribute: Tensor) -> Tensor:
        """The probability that a sample carries the label, noise included.

        A label that is given with probability p, then flipped with probability `noise`, is present with probability
        `p (1 - noise) + (1 - p) noise`.

        Args:
            attribute: how much each sample has of it, of any shape, clamped to [0, 1].

        Returns:
            Probabilities in [0, 1], of the same shape.
        """
        attribute = attribute.clamp(0, 1)
        p = self.scale * (1 - attribute if self.invert else attribute).pow(self.power)
        return p * (1 - self.noise) + (1 - p) * self.noise
