"""What every answer of the API carries, the page that describes it, and what it refuses before it looks anything up."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.trunkline.admin_app import AdminApp
from tests.trunkline.web import described

JSON = {"Content-Type": "application/json"}
EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@pytest.fixture
def admin() -> AdminApp:
    return described.unconnected()


@pytest.mark.parametrize(
    ("path", "status"),
    [("/health/live", 200), ("/openapi.json", 200), ("/nothing", 404), ("/media/no-such-link", 404), ("/restart", 200)],
)
async def test_no_answer_is_kept_framed_or_guessed_at(admin: AdminApp, path: str, status: int) -> None:
    async with admin.client() as client:
        answer = await client.get(path)
    assert answer.status_code == status
    assert {name: answer.headers[name] for name in EVERYWHERE} == EVERYWHERE
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


async def test_a_refusal_and_a_bug_carry_them_too(admin: AdminApp) -> None:
    admin.actors.failure = RuntimeError("a bug")
    async with admin.client(None) as stranger, admin.client() as client:
        refused, failed = await stranger.get("/tenants"), await client.get("/restart")
    assert (refused.status_code, failed.status_code) == (401, 500)
    for answer in (refused, failed):
        assert {name: answer.headers[name] for name in EVERYWHERE} == EVERYWHERE
    assert failed.json()["code"] == "INTERNAL_ERROR"


async def test_the_page_loads_nothing_from_another_host_and_no_script_within_itself(admin: AdminApp) -> None:
    async with admin.client(None) as client:
        page = await client.get("/docs")
        parts = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(parts) == 4 and not [part for part in parts if "//" in part]
        assert not re.search(r"<script(?![^>]* src=)", page.text)
        policy = page.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy and "connect-src 'self'" in policy
        for part in parts:
            loaded = await client.get(f"/{part}")
            assert loaded.status_code == 200 and loaded.content, part
        assert "SwaggerUIBundle" in (await client.get("/docs/swagger-ui-bundle.js")).text
        assert (await client.get("/docs/../pyproject.toml")).status_code in (401, 404)
        assert (await client.get("/docs/redoc.js")).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/no/such/route", 404, "NOT_FOUND"),
        ("GET", "/tenants/", 404, "NOT_FOUND"),
        ("DELETE", "/tenants", 405, "METHOD_NOT_ALLOWED"),
        ("TRACE", "/tenants", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/openapi.json", 405, "METHOD_NOT_ALLOWED"),
        ("POST", "/docs", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/tenants?cursor=%00", 400, "BAD_REQUEST"),
        ("GET", "/tenants?limit=99999999999999999999999999", 400, "BAD_REQUEST"),
        ("GET", "/dead-letters?reason=%ff%fe", 400, "BAD_REQUEST"),
        ("GET", "/dead-letters/%00", 404, "NOT_FOUND"),
        ("GET", "/messages/%00/trace", 404, "NOT_FOUND"),
        ("PATCH", "/pools/sideways", 400, "BAD_REQUEST"),
    ],
)
async def test_every_refusal_has_the_one_shape(admin: AdminApp, method: str, path: str, status: int, code: str) -> None:
    body: dict[str, Any] = {"json": {}} if method in ("POST", "PATCH") else {}
    async with admin.client() as client:
        answer = await client.request(method, path, **body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.json().keys() == {"error", "code", "details"}
    if status == 405:
        assert answer.headers["Allow"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        pytest.param(b'{"size": 1, "size": 2}', 400, "size", id="a field twice"),
        pytest.param(b'{"size": ' + b"1" * 5000 + b"}", 400, "body", id="a huge number"),
        pytest.param(b'{"size": 1e400}', 400, "size", id="a number without end"),
        pytest.param(b'{"size": "' + b"\xff" + b'"}', 400, "body", id="not UTF-8"),
        pytest.param(b'{"a":' * 3000 + b"1" + b"}" * 3000, 400, "body", id="too deep"),
        pytest.param(b'{"\\u0000": 1, "size": 1}', 400, "\0", id="a name that no store takes"),
        pytest.param(b'{"size": 1, "colour": "red"}', 400, "colour", id="a field that is not known"),
    ],
)
async def test_a_body_that_cannot_be_is_refused_by_field(admin: AdminApp, body: bytes, status: int, field: str) -> None:
    async with admin.client() as client:
        answer = await client.patch("/pools/inbound", content=body, headers=JSON)
    assert (answer.status_code, answer.json()["code"]) == (status, "BAD_REQUEST"), answer.text
    assert list(answer.json()["details"]) == [field]


@pytest.mark.parametrize(
    ("body", "details"),
    [
        ({"size": 1, "colour": "red"}, {"colour": "is not known here: leave it out; /docs lists the fields"}),
        ({"size": 0}, {"size": "Input should be greater than or equal to 1"}),
        ({"size": "many"}, {"size": "Input should be a valid integer"}),
        ({"min": 2}, {"body": "give either size, or both min and max"}),
    ],
)
async def test_details_say_what_is_wrong_and_what_would_be_right(
    admin: AdminApp, body: dict[str, Any], details: dict[str, str]
) -> None:
    async with admin.client() as client:
        assert (await client.patch("/pools/inbound", json=body)).json()["details"] == details


async def test_a_body_of_another_kind_is_refused(admin: AdminApp) -> None:
    async with admin.client() as client:
        answer = await client.patch("/pools/inbound", content=b"size=1", headers={"Content-Type": "text/plain"})
    assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
