"""DueFetch: a customer's file that has to be fetched before Meta forgets it."""

from __future__ import annotations

from dataclasses import dataclass

# Meta keeps a file for 7 days (protocol notes section 3.3); then it cannot be fetched any more.
KEPT_BY_META_DAYS = 7


@dataclass(frozen=True, slots=True)
class DueFetch:
    """A file of WhatsApp, by the number that it came to."""

    tenant_id: str
    media_id: str
    phone_number_id: str
