"""The API's description: complete, and true as far as can be told without asking the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest

from tests.trunkline.web import described


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in described.document()["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def _contents() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every JSON body that is asked for or answered, with where it is described."""
    for name, operation in _operations():
        if "requestBody" in operation:
            yield f"{name} asked", operation["requestBody"]["content"]["application/json"]
        for status, response in operation["responses"].items():
            if status.startswith("2") and "content" in response:
                yield f"{name} {status}", response["content"]["application/json"]
    for name, response in described.document()["components"]["responses"].items():
        yield name, response["content"]["application/json"]


def test_every_body_and_every_answer_has_an_example_that_is_one() -> None:
    for name, content in _contents():
        assert "example" in content, f"openapi_examples.json has none for {name}"
        schema = {**content["schema"], "components": described.document()["components"]}
        jsonschema.Draft202012Validator(schema).validate(content["example"])


def test_every_answer_has_a_schema_that_names_its_fields() -> None:
    for name, content in _contents():
        assert content["schema"].keys() & {"$ref", "anyOf"}, name


def test_no_operation_has_the_name_of_another() -> None:
    names = [operation["operationId"] for _, operation in _operations()]
    assert len(names) == len(set(names))


def test_what_needs_a_key_says_whose_and_tells_of_every_error() -> None:
    for name, operation in _operations():
        if "/health" in name:
            assert "security" not in operation, name
            continue
        assert operation["security"] == [{"APIKeyHeader": []}, {"HTTPBearer": []}], name
        assert "Key: " in operation["description"], name
        assert {"401", "404", "429", "500", "503"} <= operation["responses"].keys(), name
        assert "422" not in operation["responses"], name


@pytest.mark.parametrize(
    ("operation", "statuses"),
    [
        pytest.param("GET /tenants/{tenant_id}", {"200", "401", "404", "429", "500", "503"}, id="for everybody"),
        pytest.param("GET /pools", {"200", "401", "403", "404", "429", "500", "503"}, id="for staff"),
        pytest.param(
            "PATCH /tenants/{tenant_id}",
            {"200", "400", "401", "403", "404", "408", "409", "413", "415", "429", "500", "503"},
            id="with a body",
        ),
        pytest.param("GET /auth/token", {"200", "400", "401", "404", "429", "500", "502", "503"}, id="asking Genesys"),
    ],
)
def test_an_operation_tells_the_answers_that_it_has(operation: str, statuses: set[str]) -> None:
    assert dict(_operations())[operation]["responses"].keys() == statuses


def test_no_schema_is_named_after_a_module() -> None:
    assert not [name for name in described.document()["components"]["schemas"] if "__" in name]


def test_lists_say_how_to_get_the_next_page() -> None:
    for name, operation in _operations():
        parameters = {each["name"]: each for each in operation.get("parameters", [])}
        if name.startswith("GET") and "cursor" in parameters:
            assert "nextCursor" in parameters["cursor"]["description"], name
            assert "maximum" in parameters["limit"]["schema"], name
