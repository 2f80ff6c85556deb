"""What all JSON of the admin API shares: camelCase, times in UTC, no unknown names, cursors."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, TypeVar

import orjson
from fastapi import Query
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    PlainSerializer,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

from trunkline.web.errors import bad_request

T = TypeVar("T")

MASK = re.compile(r"\*{4}.{0,4}")


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _printable(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("must be printable text")
    return text


Time = Annotated[datetime, PlainSerializer(_iso), WithJsonSchema({"type": "string", "format": "date-time"})]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_printable)]
# Ids of the clouds become parts of paths, and a client id the part before a colon.
CloudId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$")]
ClientId = Annotated[str, StringConstraints(pattern=r"^[\x21-\x39\x3b-\x7e]{1,256}$")]
# A secret becomes part of a header or the key of a signature.
SecretText = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[\x20-\x7e]+$")]
Limit = Annotated[int, Query(ge=1, le=200, description="how many at most")]
Cursor = Annotated[str | None, Query(max_length=500, description="`nextCursor` of the page before")]


class Answer(BaseModel):
    """A JSON object that we send."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, serialize_by_alias=True)


class Asked(BaseModel):
    """A JSON object that we are sent; unknown names are refused. Inputs never show in errors or logs."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", hide_input_in_errors=True
    )


class Changes(Asked):
    """A subset of an object's fields; null is refused where it means nothing."""

    NULLABLE: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="after")
    def _no_empty_changes(self) -> Changes:
        for field in self.model_fields_set - self.NULLABLE:
            if getattr(self, field) is None:
                raise ValueError(f"{to_camel(field)} must not be null")
        return self


def is_mask(value: str) -> bool:
    """Whether this is what we show of a secret, not a secret."""
    return MASK.fullmatch(value) is not None


def encode_cursor(*parts: Any) -> str:
    """An opaque place between two pages."""
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def decode_cursor(cursor: str | None, shape: TypeAdapter[T]) -> T | None:
    """What `encode_cursor` was given, in this shape; raises ApiError 400 for anything else."""
    if cursor is None:
        return None
    try:
        return shape.validate_json(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, ValidationError):
        raise bad_request({"cursor": "not a cursor of this list"}) from None


def page_of(rows: list[T], limit: int, place: Callable[[T], tuple[Any, ...]]) -> tuple[list[T], str | None]:
    """A page of at most `limit` rows out of one more, and the cursor of the next page, None at the end."""
    page = rows[:limit]
    return page, encode_cursor(*place(page[-1])) if len(rows) > limit else None
