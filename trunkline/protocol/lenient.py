"""Field types that read what a cloud sends: a member of the wrong type is as good as absent, never an error."""

from __future__ import annotations

from decimal import Decimal
from math import isfinite
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict

from trunkline.protocol.text import clean

T = TypeVar("T")
_LARGEST_NUMBER_AS_ID = 10**18


def plain_number(number: float) -> str:
    """The number without exponent or needless fraction."""
    if number.is_integer() and abs(number) < _LARGEST_NUMBER_AS_ID:
        return str(int(number))
    return format(Decimal(repr(number)), "f")


def read_text(raw: object) -> str | None:
    """A string, cleaned, or a number as one: ids and amounts come as either."""
    match raw:
        case str():
            return clean(raw)
        case bool():
            return None
        case int() if abs(raw) < _LARGEST_NUMBER_AS_ID:
            return str(raw)
        case float() if isfinite(raw):
            return plain_number(raw)
        case _:
            return None


def read_number(raw: object) -> float | None:
    """A finite number, or a string that says one."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        return None
    try:
        number = float(raw)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None


def _read_object(raw: object) -> object:
    return raw if isinstance(raw, dict | BaseModel) else None


def _read_objects(raw: object) -> tuple[object, ...]:
    return tuple(element for element in raw if isinstance(element, dict)) if isinstance(raw, list | tuple) else ()


MaybeText = Annotated[str | None, BeforeValidator(read_text)]
MaybeNumber = Annotated[float | None, BeforeValidator(read_number)]
IsTrue = Annotated[bool, BeforeValidator(lambda raw: raw is True)]
Maybe = Annotated[T | None, BeforeValidator(_read_object)]
Many = Annotated[tuple[T, ...], BeforeValidator(_read_objects)]


class Wire(BaseModel):
    """Base of the wire models: unknown members are ignored, no input fails."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @classmethod
    def read(cls, raw: Any) -> Self:
        """The model of this JSON value; of anything but an object, an empty one."""
        return cls.model_validate(raw if isinstance(raw, dict) else {})
