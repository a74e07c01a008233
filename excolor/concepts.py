"""Concepts that a model may be made blind to, and the concept-blind oracle: what a model should answer then.

A concept is hue, or one of the six hues at the corners of the RGB cube. Every colour is a mixture of white, one of red,
green and blue, and one of yellow, cyan and magenta. The amounts are the differences of its sorted channels: orange
(1, 0.5, 0) is half red and half yellow. A model that is blind to red answers as if the mixture contained no red.

The oracle o(x) replaces the concept in a colour x by gray of the same lightness, which is the midpoint of the largest
and the smallest channel:

- If the concept is hue, all of x's colour is replaced. Every channel becomes V (1 - S/2), which is also the best guess
  E[rgb | S, V].
- If the concept is red, `o = x + a (1/2 - red)`, where a is the amount of red in x. Red becomes gray, light red light
  gray, dark red dark gray and orange pale yellow. Colours without red stay as they are. The other five hues work alike.

So the oracle forgets: colours that differ in the concept alone get the same answer, and o(o(x)) = o(x). To fade colours
instead, the more the nearer their hue is to red, would forget nothing: all but the pure reds could be recovered.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from excolor import colors

Concept = Literal["hue", "red", "yellow", "green", "cyan", "blue", "magenta"]

CONCEPTS: tuple[Concept, ...] = get_args(Concept)
_CORNERS = {name: rgb for name, rgb in colors.named().items() if name in CONCEPTS}


def amount(rgb: Tensor, concept: Concept) -> Tensor:
    """How much of a concept is in colours.

    For the concept hue it is S V. For one of the six hues, it is the smallest channel that makes up the hue minus the
    largest other channel, or 0 if that is negative. It is 1 for the hue itself, and 0 for hues 60 degrees away or more.

    Args:
        rgb: colours, [..., 3].
        concept: one of `CONCEPTS`.

    Returns:
        Amounts in [0, 1], [...].

    Examples:
        >>> orange = torch.tensor([1.0, 0.5, 0.0])
        >>> amount(orange, "red"), amount(orange, "yellow"), amount(orange, "hue")
        (tensor(0.5000), tensor(0.5000), tensor(1.))
    """
    if concept == "hue":
        return colors.vibrancy(rgb)
    return colors.excess(rgb, concept)


def oracle(rgb: Tensor, concept: Concept) -> Tensor:
    """The concept-blind oracle's answers to colours.

    Args:
        rgb: colours, [..., 3].
        concept: one of `CONCEPTS`.

    Returns:
        Colours, [..., 3].

    Examples:
        >>> oracle(torch.tensor([1.0, 0.5, 0.0]), "red")  # orange becomes pale yellow
        tensor([0.7500, 0.7500, 0.2500])
    """
    if concept == "hue":
        return colors.hue_blind(rgb)
    return rgb + amount(rgb, concept).unsqueeze(-1) * (0.5 - _CORNERS[concept].to(rgb))


def hue_of_concept(concept: Concept) -> float:
    """Where one of the six hues is on the circle of hues, in [0, 1).

    Examples:
        >>> round(hue_of_concept("green"), 3)
        0.333
    """
    return (CONCEPTS.index(concept) - 1) / 6


def blindness_of(concept: Concept) -> str:
    """The name of the metric for how blind an ablated model is to the concept.

    Examples:
        >>> blindness_of("red")
        'red_blindness'
    """
    return f"{concept}_blindness"
