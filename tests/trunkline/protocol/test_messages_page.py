"""The page on messages names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
PAGE = (TESTS.parent / "docs" / "messages.md").read_text()
REFERENCE = re.compile(r"`(?P<file>\w+/\w+\.py)::(?P<test>\w+)(?:\[(?P<case>[^`]+)\])?`")
REFERENCES = sorted({(found["file"], found["test"], found["case"]) for found in REFERENCE.finditer(PAGE)}, key=str)


def test_the_page_names_tests() -> None:
    assert len(REFERENCES) > 60


@pytest.mark.parametrize(("file", "test", "case"), REFERENCES)
def test_a_test_that_the_page_names_exists(file: str, test: str, case: str | None) -> None:
    source = (TESTS / "trunkline" / file).read_text()
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert test in {function.name for function in functions}
    if case is not None:
        strings = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
        assert case in strings
