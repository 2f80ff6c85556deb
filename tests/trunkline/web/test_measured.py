"""Webhooks and the admin API's requests are counted by their answers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fakes import Measured
from trunkline import metrics
from trunkline.measuring import Recorder
from trunkline.web.measured import MeasuredAdmin, MeasuredWebhooks


async def unanswered(message: dict[str, Any]) -> None:
    return


def answering(status: int) -> Any:
    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return application


async def nothing() -> dict[str, Any]:
    return {"type": "http.request"}


def scope(method: str, path: str) -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path}


@pytest.mark.parametrize(
    ("method", "path", "labels"),
    [
        pytest.param("POST", "/webhook/whatsapp", ("meta", "POST"), id="of Meta"),
        pytest.param("POST", "/webhook/whatsapp/shop", ("meta", "POST"), id="of a further app"),
        pytest.param("POST", "/webhook/meta", ("meta", "POST"), id="by the alias"),
        pytest.param("POST", "/webhook/genesys", ("genesys", "POST"), id="of Genesys"),
        pytest.param("POST", "/genesys", ("genesys", "POST"), id="with the mount point taken off"),
        pytest.param("GET", "/webhook/whatsapp", ("meta", "GET"), id="a handshake"),
        pytest.param("POST", "/webhook/elsewhere", ("other", "POST"), id="of nobody"),
        pytest.param("GET", "/webhook", ("other", "GET"), id="nothing behind it"),
        pytest.param("BREW", "/webhook/whatsapp", ("meta", "other"), id="no method of ours"),
    ],
)
async def test_a_webhook_is_counted_by_source_method_and_answer(
    method: str, path: str, labels: tuple[str, str]
) -> None:
    recorder = Recorder()
    measured = Measured(recorder)
    await MeasuredWebhooks(answering(403), recorder)(scope(method, path), nothing, unanswered)
    assert measured(metrics.WEBHOOKS, *labels, "403") == 1
    assert measured(metrics.ACCEPT, labels[0]) == (1 if labels[1] == "POST" else None)


async def test_a_request_that_a_bug_left_unanswered_is_counted_too() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError

    recorder = Recorder()
    measured = Measured(recorder)
    with pytest.raises(RuntimeError):
        await MeasuredAdmin(broken, recorder)(scope("GET", "/tenants"), nothing, unanswered)
    assert measured(metrics.ADMIN_REQUESTS, "none") == 1


async def test_what_is_no_request_passes_uncounted() -> None:
    passed = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope["type"])

    recorder = Recorder()
    await MeasuredAdmin(application, recorder)({"type": "lifespan"}, nothing, unanswered)
    assert passed == ["lifespan"]
    assert Measured(recorder)(metrics.ADMIN_REQUESTS, "none") is None
