"""Concepts: what a model is to be blind to once it is ablated, and what it would then answer.

A concept is hue, or one of the six hues at the corners of the RGB cube. Any colour is a mixture of white, one of red,
green and blue, and one of yellow, cyan and magenta, whose amounts are the differences of its sorted channels: orange
(1, 0.5, 0) is half red and half yellow. To be blind to red is to answer as if there were none of it in the mixture.

The concept-blind oracle o(x) is what is left of a colour x when the concept is replaced by gray of the same lightness,
the midpoint of the largest and the smallest channel:

- of hue, all of x's colour: o = V (1 - S/2) in every channel, which is also the best guess E[rgb | S, V].
- of red, as of the others, `o = x + a (1/2 - red)` with its amount a: red turns gray, a light or a dark one light or
  dark gray, orange a pale yellow; colours without red stay as they are.

So o forgets: colours that differ in the concept alone have one answer, and o(o(x)) = o(x). A colour merely faded, the
more the nearer its hue is to red, would forget nothing, since all but the pure reds could be told from what is left.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from excolor import colors

Concept = Literal["hue", "red", "yellow", "green", "cyan", "blue", "magenta"]

CONCEPTS: tuple[Concept, ...] = get_args(Concept)
_CORNERS = {name: rgb for name, rgb in colors.named().items() if name in CONCEPTS}


def amount(rgb: Tensor, concept: Concept) -> Tensor:
    """How much of a concept is in colours, [..., 3] to [...] in [0, 1].

    Of hue S V; of a hue by how much the least of the channels that make it up exceeds the greatest of the others, 1 for
    the hue itself and 0 from 60 degrees away from it.
    """
    if concept == "hue":
        return colors.vibrancy(rgb)
    made_of = _CORNERS[concept] > 0.5
    return (rgb[..., made_of].amin(-1) - rgb[..., ~made_of].amax(-1)).clamp(min=0)


def oracle(rgb: Tensor, concept: Concept) -> Tensor:
    """What the concept-blind oracle answers to colours: [..., 3] to [..., 3]."""
    if concept == "hue":
        return colors.hue_blind(rgb)
    return rgb + amount(rgb, concept).unsqueeze(-1) * (0.5 - _CORNERS[concept].to(rgb))


def blindness_of(concept: Concept) -> str:
    """The name of the metric that says how blind to the concept an ablated model is, such as `red_blindness`."""
    return f"{concept}_blindness"
