"""Records of how secrets at rest are sealed."""

from __future__ import annotations

from dataclasses import dataclass

# A table and the id of a row in it: where a page of the sealed rows ends.
SealedRow = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Unopened:
    """A secret that none of the keys opens."""

    table: str
    id: str
    column: str


@dataclass(frozen=True, slots=True)
class SealsPage:
    """Some of the sealed rows: how many of their secrets each of the `keys` (fingerprints, the first seals) has sealed.

    `resealed` of the `checked` secrets were sealed anew under the first key just now. `total` counts those of all rows;
    `reached` is the last row that was looked at, None when there is none behind it.
    """

    keys: tuple[str, ...]
    sealed_by: tuple[int, ...]
    resealed: int
    checked: int
    total: int
    unopened: tuple[Unopened, ...]
    reached: SealedRow | None
