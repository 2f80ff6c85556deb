"""Genesys' Notification: a WhatsApp template when it has an id, else a canned response in plain text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from trunkline.errors import Rejected
from trunkline.protocol.attachments import Files, file_messages, file_object, uploaded
from trunkline.protocol.genesys import Parameter, Template, TemplateButton, TemplatePart
from trunkline.protocol.interactive import BUTTON_ID_LIMIT, URL_LIMIT, Message, texts
from trunkline.protocol.text import cut, is_blank

DEFAULT_LANGUAGE = "en"
NAME_LIMIT, LANGUAGE_LIMIT, PARAMETER_LIMIT = 512, 16, 1024
# Meta refuses line breaks, tabs and more than four blanks in a row within a parameter.
_NOT_IN_PARAMETERS = re.compile(r"\s*[\n\r\t]\s*| {5,}")
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")


def notification(prompt: str, template: Template, files: Files) -> list[Message]:
    """The template, or the canned response; `prompt` is what an empty one says."""
    if template.id:
        return [_template_message(template, files)]
    text = _canned_text(template) or prompt
    media = template.header.media if template.header else None
    return file_messages(uploaded(media, files), text) if media else texts(text)


def _template_message(template: Template, files: Files) -> Message:
    """The `template` message; its name is what follows the namespace."""
    language = (template.language or DEFAULT_LANGUAGE).replace("-", "_")
    content: dict[str, Any] = {
        "name": cut((template.id or "").rpartition("@")[2], NAME_LIMIT),
        "language": {"code": cut(language, LANGUAGE_LIMIT)},
    }
    if components := _components(template, files):
        content["components"] = components
    return {"type": "template", "template": content}


def _canned_text(template: Template) -> str:
    """Header, body and footer of a canned response, a blank line between them."""
    parts = (template.header, template.body, template.footer)
    return "\n\n".join(text for part in parts if part and not is_blank(text := _filled(part)))


def _components(template: Template, files: Files) -> list[dict[str, Any]]:
    header, body = template.header, template.body
    components: list[dict[str, Any]] = []
    if header and header.media:
        components.append({"type": "header", "parameters": [_media_parameter(template, files)]})
    elif header and header.parameters:
        components.append({"type": "header", "parameters": _parameters(header.parameters)})
    if body and body.parameters:
        components.append({"type": "body", "parameters": _parameters(body.parameters)})
    return [*components, *_buttons(template.buttons)]


def _media_parameter(template: Template, files: Files) -> dict[str, Any]:
    media = template.header.media if template.header else None
    file = uploaded(media, files) if media else None
    if file is None or file.kind == "audio":
        raise Rejected("unsupported", "a template's header takes no sound", "MediaTypeNotAllowed")
    return {"type": file.kind, file.kind: file_object(file)}


def _buttons(buttons: Iterable[TemplateButton]) -> list[dict[str, Any]]:
    return [component for at, button in enumerate(buttons) if (component := _button(button, at))]


def _button(button: TemplateButton, position: int) -> dict[str, Any] | None:
    """The button's parameter; a button without any is part of the template and needs no mention."""
    value = _parameter_text(button.parameters[0]) if button.parameters else ""
    match button.type:
        case "Url" if button.parameters:
            sub_type, parameter = "url", {"type": "text", "text": cut(value, URL_LIMIT)}
        case "QuickReply" if button.parameters or button.payload:
            payload = cut(value or button.payload or "", BUTTON_ID_LIMIT)
            sub_type, parameter = "quick_reply", {"type": "payload", "payload": payload}
        case _:
            return None
    index = button.index if button.index and button.index.isdecimal() else str(position)
    return {"type": "button", "sub_type": sub_type, "index": index, "parameters": [parameter]}


def _parameters(parameters: Sequence[Parameter]) -> list[dict[str, str]]:
    """All positional, or all named: Meta knows no mixture."""
    named = all(parameter.name and not parameter.name.isdigit() for parameter in parameters)
    return [
        {
            "type": "text",
            **({"parameter_name": parameter.name or ""} if named else {}),
            "text": cut(_parameter_text(parameter), PARAMETER_LIMIT),
        }
        for parameter in parameters
    ]


def _parameter_text(parameter: Parameter) -> str:
    return _NOT_IN_PARAMETERS.sub(" ", parameter.text or "")


def _filled(part: TemplatePart) -> str:
    values = {parameter.name: parameter.text or "" for parameter in part.parameters}
    return _PLACEHOLDER.sub(lambda found: values.get(found[1], found[0]), part.text or "")
