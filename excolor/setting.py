"""Settings of the colour experiment: the colours that are sampled, the model and the concept."""

from __future__ import annotations

import math
from functools import cache
from typing import Literal

from pydantic import SerializeAsAny, model_validator

from anchoring.data import Data
from anchoring.fields import Count
from anchoring.setting import Sampling, Setting
from excolor.colors import ATTRIBUTES, Cube, hsv_cube, rgb_cube
from excolor.concepts import Concept
from excolor.models import ModelConfig

MOST_COLORS = 10_000_000  # in a cube


class DataConfig(Sampling):
    """A setting's table `data`: which colours are sampled.

    Attributes:
        cube: `hsv`, with weights that make up for the many grays, or `rgb`, uniformly.
        size: `[hues, saturations, values]`, by default 36, 10 and 10, or the RGB cube's `[edge]`, by default 8.
        batch: how many colours each step draws.

    Examples:
        >>> DataConfig(cube="rgb", size=(4,)).samples().inputs.shape
        torch.Size([64, 3])
    """

    cube: Literal["hsv", "rgb"] = "hsv"
    size: tuple[Count, ...] = ()

    @model_validator(mode="after")
    def _size_is_the_cubes(self) -> DataConfig:
        if len(self.size) not in (0, 3 if self.cube == "hsv" else 1):
            expected = "[hues, saturations, values]" if self.cube == "hsv" else "[edge]"
            raise ValueError(f"size: found {list(self.size)}, expected {expected} for cube {self.cube!r}")
        colors = math.prod(self.size) if self.cube == "hsv" else math.prod(self.size) ** 3
        if colors > MOST_COLORS:
            raise ValueError(f"size: found {list(self.size)}: {colors:,} colours, expected at most {MOST_COLORS:,}")
        return self

    def make(self) -> Cube:
        """The cube."""
        return (hsv_cube if self.cube == "hsv" else rgb_cube)(*self.size)

    @cache  # noqa: B019  # a few hundred kilobytes for each cube
    def samples(self) -> Data:
        """The cube's colours, with their attributes."""
        return data_of(self.make())


def data_of(cube: Cube) -> Data:
    """Colours to train on, with all attributes that labels may be given for.

    Examples:
        >>> data_of(rgb_cube(8)).attributes["redness"].shape
        torch.Size([512])
    """
    return Data(cube.colors, {name: of(cube.colors) for name, of in ATTRIBUTES.items()}, cube.weights)


class ColorSetting(Setting):
    """A setting of the colour experiment.

    Attributes:
        concept: the concept to isolate: `hue` or one of six hues.
        model: the autoencoder.
        data: the colours that it is trained on.
    """

    concept: Concept = "hue"
    model: ModelConfig = ModelConfig()
    data: SerializeAsAny[DataConfig] = DataConfig()
