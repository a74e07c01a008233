"""The strict, frozen base of all tables of a setting, and the types of the numbers in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationInfo, model_validator


class Config(BaseModel):
    """A table of a setting's TOML. Unknown keys, infinities and NaN are rejected."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _expect_known_keys(cls, table: Any, info: ValidationInfo) -> Any:
        """Reject unknown keys. The validation's context names the key that this class was `chosen_by`, if any."""
        known = [*cls.model_fields, *(info.context or {}).get("chosen_by", ())]
        if isinstance(table, Mapping) and (unknown := [key for key in table if key not in known]):
            raise ValueError(f"{unknown[0]}: unknown key, expected one of {', '.join(known)}")
        return table


Count = Annotated[int, Strict(), Field(gt=0, le=10**15)]
Real = Annotated[float, Strict()]
Positive = Annotated[float, Strict(), Field(gt=0)]
Share = Annotated[float, Strict(), Field(ge=0, le=1)]
Dims = Annotated[tuple[Annotated[int, Strict(), Field(ge=0)], ...], Field(min_length=1)]
Point = Annotated[tuple[Real, ...], Field(min_length=1)]


def check_dims(dims: tuple[int, ...], width: int, key: str = "dims") -> None:
    """Raise ValueError unless the dimensions are distinct and below `width`."""
    if max(dims) >= width or len(set(dims)) < len(dims):
        raise ValueError(f"{key}: found {list(dims)}, expected distinct dimensions from 0 to {width - 1}")
