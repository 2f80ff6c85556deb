"""A customer's answers to what an agent's side sent: taps on buttons and lists, flows, call permissions."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from trunkline.protocol.lenient import read_text
from trunkline.protocol.said import Said, lines, said
from trunkline.protocol.text import clean
from trunkline.protocol.whatsapp import CallPermissionReply, FlowReply, Interactive, Message

_PERMISSIONS = {"accept": "accepted", "reject": "rejected"}
_LONGEST_FLOW_ATTRIBUTE = 1000


@dataclass(frozen=True)
class Tap:
    """What a customer chose: the words shown, and the id behind them."""

    text: str
    id: str | None


def tap_of(message: Message) -> Tap | None:
    """The choice that a message is, if it is one."""
    reply = message.interactive or Interactive()
    match message.type, reply.type:
        case "button", _ if message.button:
            return _tap(message.button.text, message.button.payload)
        case "interactive", "button_reply" if reply.button_reply:
            return _tap(reply.button_reply.title, reply.button_reply.id)
        case "interactive", "list_reply" if reply.list_reply:
            return _tap(reply.list_reply.title, reply.list_reply.id)
        case _:
            return None


def describe_reply(message: Message) -> Said | None:
    """An answer in words; None if there is none to be read."""
    if tap := tap_of(message):
        return Said(tap.text, {"wa_button_id": tap.id} if tap.id else {})
    reply = message.interactive or Interactive()
    match reply.type:
        case "nfm_reply" if reply.nfm_reply:
            return _flow(reply.nfm_reply)
        case "call_permission_reply" if reply.call_permission_reply:
            return _call_permission(reply.call_permission_reply)
        case _:
            return None


def _tap(title: str | None, id_: str | None) -> Tap | None:
    text = title or id_
    return Tap(text, id_ or None) if text else None


def _flow(reply: FlowReply) -> Said | None:
    answers, raw = _flow_answers(reply.response_json)
    text = lines(*(f"{key}: {value}" for key, value in answers.items() if key != "flow_token")) if answers else raw
    words = text or reply.body or reply.name
    short = raw and len(orjson.dumps(raw)) <= _LONGEST_FLOW_ATTRIBUTE  # half an answer in JSON is of no use
    return Said(words, {"wa_flow_response": raw} if short else {}) if words else None


def _flow_answers(response: object) -> tuple[dict[str, str], str]:
    """The answers by name, if they are an object, and the JSON as text."""
    raw = read_text(response) or ("" if response is None else _json(response))
    try:
        answers = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}, raw
    if not isinstance(answers, dict):
        return {}, raw
    return {clean(key): _answer(value) for key, value in answers.items()}, raw


def _answer(value: object) -> str:
    return ", ".join(map(_single_answer, value)) if isinstance(value, list) else _single_answer(value)


def _single_answer(value: object) -> str:
    text = read_text(value)
    return text if text is not None else _json(value)


def _json(value: object) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # nested deeper than JSON is written, or a number larger than any
        return ""


def _call_permission(reply: CallPermissionReply) -> Said | None:
    return said(reply.response and f"Call permission: {_PERMISSIONS.get(reply.response, reply.response)}")
