"""WhatsApp's limits for every string that it is sent."""

from __future__ import annotations

from typing import Any

import pytest

from trunkline.protocol.text import utf16_length


def check_limits(body: dict[str, Any]) -> None:
    content = body[body["type"]]
    match body["type"]:
        case "interactive":
            check_interactive(content)
        case "text":
            assert content["body"].strip()
            assert utf16_length(content["body"]) <= 4096
        case "image" | "video" | "document" | "audio":
            check_file(body["type"], content)
        case "template":
            check_template(content)
        case "location":
            assert abs(content["latitude"]) <= 90
            assert abs(content["longitude"]) <= 180
            assert all(1 <= utf16_length(content.get(member, "x")) <= 1000 for member in ("name", "address"))
        case other:
            pytest.fail(f"{other} is nothing that we send")


def check_file(kind: str, file: dict[str, Any]) -> None:
    assert file.keys() <= {"id"} | ({"caption"} if kind != "audio" else set()) | (
        {"filename"} if kind == "document" else set()
    )
    assert utf16_length(file.get("caption", "x")) in range(1, 1025)
    assert utf16_length(file.get("filename", "x")) in range(1, 241)


def check_template(template: dict[str, Any]) -> None:
    assert utf16_length(template["name"]) <= 512
    assert utf16_length(template["language"]["code"]) <= 16
    for component in template.get("components", []):
        for parameter in component["parameters"]:
            match parameter["type"]:
                case "text" if component["type"] == "button":
                    assert utf16_length(parameter["text"]) <= 2000
                case "text":
                    assert utf16_length(parameter["text"]) <= 1024
                    assert not {*"\n\t"} & {*parameter["text"]}
                case "payload":
                    assert utf16_length(parameter["payload"]) <= 256
                case kind:
                    check_file(kind, parameter[kind])


def check_interactive(message: dict[str, Any]) -> None:
    assert message["body"]["text"].strip()
    assert utf16_length(message["body"]["text"]) <= 1024
    if header := message.get("header"):
        assert message["type"] in {"button", "cta_url"}
        check_file(header["type"], header[header["type"]])
        assert "caption" not in header[header["type"]]
    match message["type"]:
        case "button":
            replies = [button["reply"] for button in message["action"]["buttons"]]
            assert 1 <= len(replies) <= 3
            check_options(replies, title_limit=20, id_limit=256)
        case "list":
            sections = message["action"]["sections"]
            rows = [row for section in sections for row in section["rows"]]
            assert 1 <= len(rows) <= 10
            assert 1 <= utf16_length(message["action"]["button"]) <= 20
            assert all(utf16_length(row.get("description", "x")) in range(1, 73) for row in rows)
            assert all(utf16_length(section.get("title", "x")) in range(1, 25) for section in sections)
            assert len(sections) == 1 or all("title" in section for section in sections)
            check_options(rows, title_limit=24, id_limit=200)
        case "cta_url":
            assert 1 <= utf16_length(message["action"]["parameters"]["display_text"]) <= 20
            assert utf16_length(message["action"]["parameters"]["url"]) <= 2000


def check_options(options: list[dict[str, str]], title_limit: int, id_limit: int) -> None:
    for member, limit in (("title", title_limit), ("id", id_limit)):
        values = [option[member] for option in options]
        assert len(set(values)) == len(values)
        assert all(1 <= utf16_length(value) <= limit for value in values)
