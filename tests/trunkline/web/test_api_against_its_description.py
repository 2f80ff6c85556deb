"""The API asked by schemathesis: what fits its description and what does not, by the hundred."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from queue import Queue
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, assume, given, settings
from redis.asyncio import Redis
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Err
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.trunkline.admin_app import ADMIN_KEY, AdminApp
from tests.trunkline.records import BY, tenant_record
from tests.trunkline.web import described, rows
from trunkline.envelope import Direction, Envelope
from trunkline.stores.database import open_pool
from trunkline.tenancy.record import TenantRecord

pytestmark = pytest.mark.services

Operation = APIOperation[Any, Any, Any, Any]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


def _valid(found: Any) -> Operation:
    if isinstance(found, Err):
        raise found.err()
    operation: Operation = found.ok()
    return operation


OPERATIONS: list[Operation] = [
    _valid(each) for each in schemathesis.openapi.from_dict(described.document()).get_all_operations()
]
EXAMPLES = 8
# What the server itself says to what is not HTTP, before there is any route.
NOT_HTTP = b"Invalid HTTP request received."
# The same questions in every run.
BOUNDED = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@dataclass(frozen=True, slots=True)
class Served:
    """An API with real stores that listens, and the tenant that has something to show."""

    url: str
    tenant_id: str


@pytest.fixture(scope="module")
def served(database_url: str, redis_url: str) -> Iterator[Served]:
    """The API on a port of loopback, in a thread with a loop of its own."""
    started: Queue[Served] = Queue()
    server = uvicorn.Server(uvicorn.Config("", host="127.0.0.1", port=0, lifespan="off", log_level="critical"))

    async def serve() -> None:
        async with open_pool(database_url, min_size=1, max_size=4) as pool, Redis.from_url(redis_url) as redis:
            admin = AdminApp(pool, redis)
            tenant = await _tenant_with_a_history(admin)
            server.config.app = admin.app
            serving = asyncio.create_task(server.serve())
            while not server.started:
                await asyncio.sleep(0.01)
            port = server.servers[0].sockets[0].getsockname()[1]
            started.put(Served(f"http://127.0.0.1:{port}", tenant.tenant_id))
            await serving

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    yield started.get(timeout=20)
    server.should_exit = True
    thread.join()


async def _tenant_with_a_history(admin: AdminApp) -> TenantRecord:
    record = tenant_record()
    await admin.tenants.create(record, BY)
    conversation = await rows.insert_conversation(admin, record)
    for status in ("received", "waiting", "delivered"):
        await rows.insert_message(admin, record, conversation_id=conversation, status=status)
    await rows.insert_dead_letter(admin, record.tenant_id)
    await rows.insert_spooled(admin, record.tenant_id, envelope=_envelope(record.tenant_id))
    return record


def _envelope(tenant_id: str) -> bytes:
    message_id = str(uuid.uuid4())
    return Envelope(message_id, tenant_id, Direction.INBOUND, rows.WA_ID, "wamid.1", "text", 0.0, {}).to_bytes()


def _questions() -> Iterator[Any]:
    for operation in OPERATIONS:
        yield pytest.param(operation, GenerationMode.POSITIVE, id=f"{operation.label}, what fits")
        # Whoever may ask without a key and without anything else cannot ask wrongly.
        if operation.definition.raw.get("security"):
            yield pytest.param(operation, GenerationMode.NEGATIVE, id=f"{operation.label}, what does not fit")


@pytest.mark.parametrize(("operation", "mode"), list(_questions()))
def test_every_answer_is_one_that_the_description_tells(
    served: Served, operation: Operation, mode: GenerationMode
) -> None:
    """Whatever is asked, with an admin's key: no failure of ours, and no answer that is not described."""
    given_values = _values_of(operation, served) if mode.is_positive else {}

    @BOUNDED
    @given(case=operation.as_strategy(mode, **given_values))
    def ask(case: Case[Any]) -> None:
        answer = case.call(base_url=served.url, headers={"X-API-Key": ADMIN_KEY})
        assume(answer.content != NOT_HTTP)
        case.validate_response(answer, checks=CHECKS)

    ask()


def _values_of(operation: Operation, served: Served) -> dict[str, Any]:
    """The tenant that there is, where an operation names one: made-up ones are never found."""
    if operation.label == "DELETE /tenants/{tenant_id}":
        return {}
    names = {parameter.name for parameter in operation.iter_parameters()}
    values: dict[str, Any] = {}
    if operation.path == "/tenants/{tenant_id}" or "tenant_id" in names:
        values["path_parameters"] = {"tenant_id": served.tenant_id}
    if "X-Tenant-ID" in names:
        values["headers"] = {"X-Tenant-ID": served.tenant_id}
    return values
