"""Settings of the colour experiment: which colours are sampled, which model sees them, and the concept."""

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

MOST_COLORS = 10_000_000  # of a cube


class DataConfig(Sampling):
    """Which cube is sampled: `hsv`, weighted against grays, or `rgb`, uniformly, and how many at a time.

    `size` is hues, saturations and values, 36 x 10 x 10, or the RGB cube's edge, 8.
    """

    cube: Literal["hsv", "rgb"] = "hsv"
    size: tuple[Count, ...] = ()

    @model_validator(mode="after")
    def _size_is_the_cubes(self) -> DataConfig:
        if len(self.size) not in (0, 3 if self.cube == "hsv" else 1):
            raise ValueError(f"size: found {list(self.size)}, expected [hues, saturations, values], or [edge] of rgb")
        colors = math.prod(self.size) if self.cube == "hsv" else math.prod(self.size) ** 3
        if colors > MOST_COLORS:
            raise ValueError(f"size: found {list(self.size)}, {colors:,} colours, expected at most {MOST_COLORS:,}")
        return self

    def make(self) -> Cube:
        return (hsv_cube if self.cube == "hsv" else rgb_cube)(*self.size)

    @cache  # noqa: B019  # a few hundred kilobytes for each kind of cube
    def samples(self) -> Data:
        """The cube's colours, and how much each has of what labels are given for."""
        return data_of(self.make())


def data_of(cube: Cube) -> Data:
    """Colours to train on, with everything that labels may be given for."""
    return Data(cube.colors, {name: of(cube.colors) for name, of in ATTRIBUTES.items()}, cube.weights)


class ColorSetting(Setting):
    """A setting of the colour experiment."""

    concept: Concept = "hue"
    model: ModelConfig = ModelConfig()
    data: SerializeAsAny[DataConfig] = DataConfig()
