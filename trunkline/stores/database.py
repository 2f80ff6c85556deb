"""Connections to Postgres: the pool that stores share, and its failures in the words that operators know."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self
from weakref import WeakKeyDictionary

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from trunkline.errors import ConfigurationError, StoreUnavailable

Connection = psycopg.AsyncConnection[TupleRow]

APPLICATION_NAME = "trunkline"
CONNECT_TIMEOUT_S = 5
WAIT_FOR_CONNECTION_S = 5.0
# The pool doubles its wait between attempts: a short limit keeps the wait short once Postgres is back.
RECONNECT_TIMEOUT_S = 5.0
TRUSTED_S = 0.5
SERVER_TIMEOUTS = "-c statement_timeout=30s -c idle_in_transaction_session_timeout=60s"

# Tables grow faster than their statistics: a plan made for an empty table would read a full one from end to end.
BY_KEY = "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c jit=off"

# A plan kept for whatever may be asked is a good one for nobody who filters a list.
AS_ASKED = f"{BY_KEY} -c plan_cache_mode=force_custom_plan"

POOL_TIMEOUT = "Connection pool timeout"
TOO_MANY_CLIENTS = "Too many clients already"
# Of the server, of a role or a database with a limit of its own, and where the rest is kept for superusers.
_NO_CONNECTION_LEFT = ("too many clients", "too many connections", "remaining connection slots")


class Pool(AsyncConnectionPool[Connection]):
    """A pool that remembers why its last attempt to connect failed; None once one has succeeded."""

    connect_failure: psycopg.OperationalError | None = None


def conninfo(database_url: str, **extra: Any) -> str:
    """The URL with our application name and time-outs; raises ConfigurationError when it is not one of Postgres."""
    try:
        given = conninfo_to_dict(database_url)
    except psycopg.ProgrammingError:
        raise ConfigurationError(
            "DATABASE_URL is not a Postgres URL: write it as postgresql://user:password@host:port/database"
        ) from None
    ours = {"application_name": APPLICATION_NAME, "connect_timeout": CONNECT_TIMEOUT_S}
    return make_conninfo("", **{**ours, **given, **extra})


def open_pool(database_url: str, *, min_size: int, max_size: int, planning: str = "") -> Pool:
    """A pool to be opened by the caller (`await pool.open()`, or `async with`); transactions commit on leaving.

    `planning` is BY_KEY for work that looks rows up by keys only, AS_ASKED for that too where each question differs.
    """
    given = conninfo_to_dict(conninfo(database_url)).get("options") or ""

    checked_at: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()

    async def check(connection: Connection) -> None:
        # After a restart of Postgres every idle connection is dead: drop them all at once, not one per request.
        # One that worked a moment ago is trusted: the question costs a round trip, and every caller stands a failure.
        now = time.monotonic()
        if now - checked_at.get(connection, 0.0) < TRUSTED_S:
            return
        checked_at[connection] = now
        try:
            await AsyncConnectionPool.check_connection(connection)
        except psycopg.OperationalError:
            await pool.drain()
            raise

    class NotingConnection(psycopg.AsyncConnection[TupleRow]):
        # The pool connects in the background and tells its users of a time-out only.
        @classmethod
        async def connect(cls, *args: Any, **kwargs: Any) -> Self:
            try:
                opened = await super().connect(*args, **kwargs)
            except psycopg.OperationalError as error:
                pool.connect_failure = error
                raise
            pool.connect_failure = None
            return opened

    pool = Pool(
        conninfo(database_url, options=f"{SERVER_TIMEOUTS} {planning} {given}".strip()),
        connection_class=NotingConnection,
        open=False,
        min_size=min_size,
        max_size=max_size,
        timeout=WAIT_FOR_CONNECTION_S,
        reconnect_timeout=RECONNECT_TIMEOUT_S,
        max_idle=300,
        check=check,
        name=APPLICATION_NAME,
    )
    return pool


class translating:
    """Turns Postgres being away, full or too slow into StoreUnavailable; `with` and `async with` alike."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, PoolTimeout | TooManyRequests):
            raise StoreUnavailable(POOL_TIMEOUT) from error
        if isinstance(error, psycopg.OperationalError):
            raise StoreUnavailable(_in_words(error)) from error

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        self.__exit__(kind, error, trace)


@asynccontextmanager
async def connection(pool: Pool) -> AsyncIterator[Connection]:
    """A connection of the pool in a transaction; raises StoreUnavailable in plain words."""
    try:
        with translating():
            async with pool.connection() as taken:
                yield taken
    except StoreUnavailable as error:
        if error.detail == POOL_TIMEOUT and pool.connect_failure is not None:
            raise StoreUnavailable(_in_words(pool.connect_failure)) from error
        raise


async def probe(pool: Pool) -> None:
    """Return when Postgres answers; raises StoreUnavailable when it does not."""
    async with connection(pool) as taken:
        await taken.execute("SELECT 1")


def _in_words(error: psycopg.OperationalError) -> str:
    # libpq gives no SQLSTATE for a refused connection, so this one case has to look at the text.
    if error.sqlstate == "53300" or any(words in str(error).lower() for words in _NO_CONNECTION_LEFT):
        return TOO_MANY_CLIENTS
    if isinstance(error, psycopg.errors.QueryCanceled):
        return "Postgres gave up a statement that took longer than its statement_timeout"
    if error.sqlstate in ("57P01", "57P02", "57P03"):
        return "Postgres is starting up or shutting down"
    if error.sqlstate is None:
        # libpq's last line names the cause (refused, unknown role or database) and holds no password.
        return f"Postgres cannot be reached: {str(error).strip().splitlines()[-1].strip() or 'no reason given'}"
    return f"Postgres refused the work ({type(error).__name__}, SQLSTATE {error.sqlstate})"
