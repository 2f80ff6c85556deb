"""Genesys' Notification: a WhatsApp template when it has an id, else a canned response in plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from trunkline.errors import Rejected
from trunkline.protocol.genesys import Parameter, Template, TemplateButton, TemplatePart
from trunkline.protocol.interactive import Message
from trunkline.protocol.text import is_blank

DEFAULT_LANGUAGE = "en"
# Meta refuses line breaks, tabs and more than four blanks in a row within a parameter.
_NOT_IN_PARAMETERS = re.compile(r"\s*[\n\r\t]\s*| {5,}")
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")


def template_message(template: Template) -> Message:
    """The `template` message; its name is what follows the namespace."""
    _refuse_media(template)
    content: dict[str, Any] = {
        "name": (template.id or "").rpartition("@")[2],
        "language": {"code": template.language or DEFAULT_LANGUAGE},
    }
    if components := _components(template):
        content["components"] = components
    return {"type": "template", "template": content}


def canned_text(template: Template) -> str:
    """Header, body and footer of a canned response, a blank line between them."""
    _refuse_media(template)
    parts = (template.header, template.body, template.footer)
    return "\n\n".join(text for part in parts if part and not is_blank(text := _filled(part)))


def _refuse_media(template: Template) -> None:
    if template.header and template.header.media:
        raise Rejected("unsupported", "a template with a file in its header cannot be sent", "UnsupportedMessage")


def _components(template: Template) -> list[dict[str, Any]]:
    components = []
    for kind, part in (("header", template.header), ("body", template.body)):
        if part and part.parameters:
            components.append({"type": kind, "parameters": _parameters(part.parameters)})
    for position, button in enumerate(template.buttons):
        if component := _button(button, position):
            components.append(component)
    return components


def _button(button: TemplateButton, position: int) -> dict[str, Any] | None:
    """The button's parameters; a button without any is part of the template and needs no mention."""
    if not button.parameters:
        return None
    value = _parameter_text(button.parameters[0])
    match button.type:
        case "Url":
            sub_type, parameter = "url", {"type": "text", "text": value}
        case "QuickReply":
            sub_type, parameter = "quick_reply", {"type": "payload", "payload": value}
        case _:
            return None
    index = button.index or str(position)
    return {"type": "button", "sub_type": sub_type, "index": index, "parameters": [parameter]}


def _parameters(parameters: Sequence[Parameter]) -> list[dict[str, str]]:
    """All positional, or all named: Meta knows no mixture."""
    named = all(parameter.name and not parameter.name.isdigit() for parameter in parameters)
    return [
        {
            "type": "text",
            **({"parameter_name": parameter.name or ""} if named else {}),
            "text": _parameter_text(parameter),
        }
        for parameter in parameters
    ]


def _parameter_text(parameter: Parameter) -> str:
    return _NOT_IN_PARAMETERS.sub(" ", parameter.text or "")


def _filled(part: TemplatePart) -> str:
    values = {parameter.name: parameter.text or "" for parameter in part.parameters}
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), part.text or "")
