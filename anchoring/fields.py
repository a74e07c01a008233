"""What every table of a setting is made of: a strict, frozen base, and the kinds of numbers that keys take."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, Strict


class Config(BaseModel):
    """A table of a setting's TOML. Unknown keys are errors, and so are infinities and numbers that are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Count = Annotated[int, Strict(), Field(gt=0, le=10**15)]
Real = Annotated[float, Strict()]
Positive = Annotated[float, Strict(), Field(gt=0)]
Share = Annotated[float, Strict(), Field(ge=0, le=1)]
Dims = Annotated[tuple[Annotated[int, Strict(), Field(ge=0)], ...], Field(min_length=1)]
Point = Annotated[tuple[Real, ...], Field(min_length=1)]


def check_dims(dims: tuple[int, ...], width: int, key: str = "dims") -> None:
    """Raise ValueError unless every dimension is one of `width` and none is named twice."""
    if max(dims) >= width or len(set(dims)) < len(dims):
        raise ValueError(f"{key}: found {list(dims)}, expected different dimensions from 0 to {width - 1}")
