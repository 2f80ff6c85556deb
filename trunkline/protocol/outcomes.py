"""What an answer of either cloud means: success, or the error whose class says what becomes of the message."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

import orjson

from trunkline.errors import CredentialsRefused, OutcomeUnknown, Rejected, Throttled, TrunklineError, Unavailable
from trunkline.protocol.genesys import Answer, TokenAnswer
from trunkline.protocol.lenient import read_number
from trunkline.protocol.text import cut
from trunkline.protocol.whatsapp import Error, SendAnswer

GENESYS_THROTTLE_S = 15.0
_LONGEST_DETAIL = 500
_LONGEST_WAIT_S = 86_400.0
_SHORTEST_WAIT_S = 1.0
# Meta quotes a token that it cannot read.
_TOKENS = re.compile(r"\bEAA[A-Za-z0-9]{8,}|(?<=access token )\S{16,}|(?<=Bearer )\S+")


class Fate(Enum):
    """The classes of Meta's codes."""

    THROTTLED = auto()
    UNAVAILABLE = auto()
    HELD = auto()
    WINDOW_CLOSED = auto()
    REJECTED = auto()


_CODES_BY_FATE = (
    (Fate.THROTTLED, (4, 613, 80007, 130429, 131056, 133016, 131048)),
    (Fate.UNAVAILABLE, (1, 2, 131000, 131016, 131057, 135000)),
    (Fate.UNAVAILABLE, (131052, 131053)),  # media that Meta could not fetch
    (Fate.HELD, (0, 190, 3, 10, *range(200, 300), 131005)),  # credentials and rights
    (Fate.HELD, (368, 131031, 131042, 131044, 131045, 131037, 131063, 131064, 133010)),  # blocked until somebody acts
    (Fate.WINDOW_CLOSED, (131047,)),
    (Fate.REJECTED, (131026, 131021, 131030, 131050, 131062, 137000)),  # the recipient
    (Fate.REJECTED, (130472, 131049, 130497)),  # policy; 130497 is about the recipient's country only
    (Fate.REJECTED, (33, 100, 131008, 131009, 131051)),  # our request, then our templates
    (Fate.REJECTED, (132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016, 132068, 132069)),
)
WHATSAPP_FATES = {str(code): fate for fate, codes in _CODES_BY_FATE for code in codes}
WHATSAPP_THROTTLE_S = {"131056": 6.0, "131048": 900.0, "133016": 300.0, "4": 60.0, "613": 60.0, "80007": 60.0}
_OTHER_THROTTLE_S = 2.0


@dataclass(frozen=True)
class GenesysAccepted:
    """A 2xx of Genesys; the conversation only if it was asked for."""

    message_id: str | None
    conversation_id: str | None


@dataclass(frozen=True)
class TokenGrant:
    """A token and how long it lives."""

    access_token: str = field(repr=False)
    expires_in_s: float


def classify_whatsapp(status: int, headers: Mapping[str, str], body: bytes) -> str:
    """The wamid of the message that Meta accepted; raises what became of it otherwise.

    Meta's code decides, not the HTTP status: the same code comes with several.
    """
    parsed = _json(body)
    answer = SendAnswer.read(parsed)
    if 200 <= status < 300 and answer.messages and answer.messages[0].id:
        return answer.messages[0].id
    if answer.error is not None:
        raise _whatsapp_error(status, headers, answer.error)
    if 200 <= status < 300:
        raise OutcomeUnknown(f"{status} without a message id")
    if status >= 500 and parsed is None:
        raise OutcomeUnknown(f"{status} that is not JSON")
    raise _whatsapp_error(status, headers, Error(message=_phrase(status)))


def classify_genesys(status: int, headers: Mapping[str, str], body: bytes) -> GenesysAccepted:
    """What Genesys made of a message, an event or a receipt; raises otherwise, with the HTTP status as `code`."""
    answer = Answer.read(_json(body))
    if 200 <= status < 300:
        return GenesysAccepted(answer.id or None, answer.conversation_id or None)
    detail, code = _genesys_detail(status, headers, answer), str(status)
    match status:
        case 401 | 403 | 404:  # the token, the client's role, or the integration: the tenant's set-up
            raise CredentialsRefused(detail, code)
        case 408 | 504:
            raise OutcomeUnknown(detail, code)
        case 429:
            raise Throttled(_retry_after_s(headers, GENESYS_THROTTLE_S), detail, code)
        case 409:
            raise Unavailable(detail, code)
        case _ if 400 <= status < 500:
            raise Rejected("rejected", detail, code)
        case _:
            raise Unavailable(detail, code)


def classify_token(status: int, headers: Mapping[str, str], body: bytes) -> TokenGrant:
    """The token that the login host granted; raises otherwise, with the HTTP status as `code`."""
    answer = TokenAnswer.read(_json(body))
    if status == 200 and answer.access_token and answer.expires_in and answer.expires_in > 0:
        return TokenGrant(answer.access_token, answer.expires_in)
    words = answer.error_description or answer.description or _phrase(status)
    detail, code = _shown(f"{answer.error}: {words}" if answer.error else words), str(status)
    match status:
        case 400 | 401 | 403:
            raise CredentialsRefused(detail, code)
        case 429:
            raise Throttled(_retry_after_s(headers, GENESYS_THROTTLE_S), detail, code)
        case 200:
            raise Unavailable("the login host answered 200 without a token", code)
        case _:
            raise Unavailable(f"{status} {detail}", code)


def _whatsapp_error(status: int, headers: Mapping[str, str], error: Error) -> TrunklineError:
    code = error.code or str(status)
    detail = _shown(f"{code} {error.name}: {error.details}" if error.details else f"{code} {error.name}")
    match WHATSAPP_FATES.get(error.code or "") or _fate_by_status(status, error):
        case Fate.THROTTLED:
            default_s = WHATSAPP_THROTTLE_S.get(code, _OTHER_THROTTLE_S)
            return Throttled(_retry_after_s(headers, default_s), detail, code)
        case Fate.UNAVAILABLE:
            return Unavailable(detail, code)
        case Fate.HELD:
            return CredentialsRefused(detail, code)
        case Fate.WINDOW_CLOSED:
            return Rejected("window_closed", detail, code)
        case _:
            return Rejected("rejected", detail, code)


def _fate_by_status(status: int, error: Error) -> Fate:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Fate.THROTTLED
    if status == HTTPStatus.UNAUTHORIZED:
        return Fate.HELD  # whatever its code, it is about the token and not about the message
    if error.is_transient or status >= 500 or 300 <= status < 400 or status == HTTPStatus.REQUEST_TIMEOUT:
        return Fate.UNAVAILABLE
    return Fate.REJECTED


def _genesys_detail(status: int, headers: Mapping[str, str], answer: Answer) -> str:
    detail = _shown(f"{status} {answer.code or ''}".rstrip() + f": {answer.message or _phrase(status)}")
    correlation = _header(headers, "inin-correlation-id") or answer.context_id
    return f"{detail} (correlation {cut(correlation, 64)})" if correlation else detail


def _retry_after_s(headers: Mapping[str, str], default_s: float) -> float:
    """`Retry-After` in seconds, within reason; its other form, a date, is taken as absent."""
    asked_s = read_number(_header(headers, "retry-after"))
    return default_s if asked_s is None or asked_s < 0 else min(max(asked_s, _SHORTEST_WAIT_S), _LONGEST_WAIT_S)


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name), None)


def _json(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "no explanation"


def _shown(words: str) -> str:
    return cut(_TOKENS.sub("****", " ".join(words.split())), _LONGEST_DETAIL)
