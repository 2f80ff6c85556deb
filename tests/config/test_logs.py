"""Log lines: one JSON object each, event first, and nothing of what an exception quotes."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from config.logs import JsonLines, configure_logging


@pytest.fixture
def lines() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    log = logging.getLogger("tests.config.test_logs")
    log.handlers[:], log.propagate = [handler], False
    log.setLevel(logging.INFO)
    yield log, stream
    log.handlers.clear()
    log.propagate = True


def read(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_an_object_with_the_event_first_and_its_facts(lines: tuple[logging.Logger, io.StringIO]) -> None:
    log, stream = lines
    log.info("delivery.attempted", extra={"tenant": "acme", "attempt": 2, "wait_s": 8.0})
    (line,) = read(stream)
    assert next(iter(line)) == "event"
    assert line["at"].endswith("+00:00")
    del line["at"]
    assert line == {
        "event": "delivery.attempted",
        "level": "INFO",
        "logger": "tests.config.test_logs",
        "tenant": "acme",
        "attempt": 2,
        "wait_s": 8.0,
    }


def test_an_exception_tells_where_it_happened_and_never_what_it_quotes(
    lines: tuple[logging.Logger, io.StringIO],
) -> None:
    log, stream = lines
    try:
        raise ValueError("the customer wrote: my PIN is 1234")
    except ValueError:
        log.exception("lane.failed", extra={"tenant": "acme"})
    (line,) = read(stream)
    assert line["exception"] == "ValueError"
    assert "test_logs.py" in line["trace"][0]
    assert "PIN" not in stream.getvalue()


@pytest.mark.parametrize(
    "fact",
    [
        pytest.param("\ud800", id="a lone surrogate"),
        pytest.param(10**40, id="a huge number"),
        pytest.param({1: "one", ("a",): "two"}, id="keys that are no strings"),
        pytest.param({"a", "b"}, id="a set"),
        pytest.param(object(), id="anything"),
        pytest.param("two\nlines", id="a line break"),
    ],
)
def test_any_fact_leaves_one_line(lines: tuple[logging.Logger, io.StringIO], fact: Any) -> None:
    log, stream = lines
    log.warning("webhook.refused", extra={"fact": fact})
    (line,) = read(stream)
    assert line["event"] == "webhook.refused"
    assert "fact" in line


@pytest.fixture
def as_before() -> Iterator[None]:
    """Logging of this process is afterwards as it was."""
    names = ("", "actors", "config", "serve_app", "trunkline", "pika", "httpx", "aiohttp", "psycopg.pool")
    levels = {name: logging.getLogger(name).level for name in names}
    handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_logging_is_configured_for_the_whole_process(as_before: None, capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("INFO")
    logging.getLogger("trunkline.any").info("tenant.activated")
    logging.getLogger("pika.adapters").info("Streaming transport linked up")
    logging.getLogger("trunkline.any").debug("delivery.delivered")
    assert [json.loads(line)["event"] for line in capfd.readouterr().err.splitlines()] == ["tenant.activated"]


def test_what_libraries_tell_at_debug_is_never_logged(as_before: None, capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("DEBUG")
    logging.getLogger("httpcore.http11").debug("send_request_headers authorization=Bearer token")
    logging.getLogger("trunkline.any").debug("delivery.delivered")
    assert [json.loads(line)["event"] for line in capfd.readouterr().err.splitlines()] == ["delivery.delivered"]


def test_lines_reach_standard_error_whatever_stands_in_its_place(
    as_before: None, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())  # as Serve does in its replicas
    configure_logging("INFO")
    logging.getLogger("trunkline.any").warning("webhook.signature_refused")
    assert "webhook.signature_refused" in capfd.readouterr().err


def test_a_higher_level_is_everybodys(as_before: None, capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging("ERROR")
    logging.getLogger("trunkline.any").warning("delivery.dead")
    logging.getLogger("some.library").warning("odd")
    assert capfd.readouterr().err == ""
