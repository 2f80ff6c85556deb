"""DueFetch: a customer's file that has to be fetched before Meta forgets it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DueFetch:
    """A file as its webhook named it; `mime` and `filename` as in `protocol.media.CustomerFile`."""

    tenant_id: str
    media_id: str
    phone_number_id: str
    kind: str
    mime: str | None
    filename: str | None
