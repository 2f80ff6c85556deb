"""Bodies of control requests."""

from __future__ import annotations

from typing import Any

from sandbox.http import Request


class BadRequest(Exception):
    """The control request cannot be understood; `details` say why."""

    def __init__(self, error: str, details: Any = None) -> None:
        super().__init__(error, details)
        self.error = error
        self.details = details


def json_body(request: Request) -> Any:
    """The body parsed; raises BadRequest."""
    try:
        return request.json()
    except ValueError:
        raise BadRequest("The body is not JSON") from None


def json_object(request: Request) -> dict[str, Any]:
    """The body, which is an object; raises BadRequest."""
    data = json_body(request)
    if not isinstance(data, dict):
        raise BadRequest("The body is not a JSON object")
    return data
