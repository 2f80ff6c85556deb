"""Errors keep what they say on their way between processes."""

from __future__ import annotations

import copy
import importlib
import pickle
import pkgutil
from collections.abc import Iterator

import pytest

import trunkline
from trunkline.delivery.conversation import Interrupted, Parked
from trunkline.delivery.held import LaneHeld
from trunkline.delivery.turn import OlderFirst
from trunkline.errors import (
    ConfigurationError,
    Conflict,
    CredentialsRefused,
    DumpFailed,
    NotFound,
    OutcomeUnknown,
    Rejected,
    Sealed,
    StoreUnavailable,
    Throttled,
    TrunklineError,
    Unavailable,
)

EXAMPLES = [
    Rejected("rejected", "131026 Message undeliverable", "131026"),
    Rejected("poison", "cannot be converted"),
    Unavailable("503 service.unavailable", "503"),
    StoreUnavailable("Cannot connect to Redis"),
    Throttled(17.5, "429 too.many.requests", "429"),
    CredentialsRefused("invalid_client: authentication failed", "401"),
    OutcomeUnknown("no answer: ServerDisconnectedError"),
    Sealed("no key opens it"),
    DumpFailed("pg_dump: error: out of disk"),
    NotFound("Tenant"),
    Conflict("phoneNumberId", "210099887766551"),
    ConfigurationError("PORT 0: Input should be greater than or equal to 1"),
    LaneHeld("tenant is suspended", 1.0),
    Interrupted(),
    Parked(61.0),
    OlderFirst(None),
]


def _subclasses(of: type[TrunklineError]) -> Iterator[type[TrunklineError]]:
    for cls in of.__subclasses__():
        yield cls
        yield from _subclasses(cls)


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_an_error_survives_pickling_with_all_it_says(error: TrunklineError) -> None:
    for travelled in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(travelled) is type(error)
        assert travelled.args == error.args
        assert vars(travelled) == vars(error)
        assert str(travelled) == str(error)


def test_every_error_of_ours_has_an_example_here() -> None:
    for module in pkgutil.walk_packages(trunkline.__path__, "trunkline."):
        if not module.name.startswith("trunkline.cli"):
            importlib.import_module(module.name)
    all_of_them = {cls for cls in _subclasses(TrunklineError) if cls.__module__.startswith("trunkline.")}
    ours = {cls for cls in all_of_them if not cls.__name__.startswith("_")}  # those are never raised themselves
    assert ours == {type(example) for example in EXAMPLES}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param(Rejected("window_closed", "131047 Re-engagement"), "window_closed: 131047 Re-engagement", id="no"),
        pytest.param(Throttled(2.0, "429"), "429, again in 2 s", id="wait"),
        pytest.param(NotFound("Tenant"), "Tenant not found", id="missing"),
        pytest.param(StoreUnavailable("Connection pool timeout"), "Connection pool timeout", id="store"),
    ],
)
def test_an_error_speaks_in_the_words_operators_know(error: TrunklineError, words: str) -> None:
    assert str(error) == words
