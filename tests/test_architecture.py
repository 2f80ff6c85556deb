"""The arrows of the import graph: who may know whom."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("actors", "config", "sandbox", "scripts", "serve_app", "tests", "trunkline")
# Inside trunkline, what each part may know beside itself; `tenancy.records` are the modules without rules of their own.
BASE = {"arrival", "attempt", "envelope", "errors", "grouping", "media_fetch", "media_links", "people"}
BASE |= {"trace_context", "tracing"}
# Modules with OpenTelemetry in them: nothing loads them but the wiring of traces.
TRACED = {
    "trunkline.clients.collector",
    "trunkline.clients.traced_http",
    "trunkline.delivery.traced",
    "trunkline.tracing",
    "trunkline.web.traced_webhooks",
}
RECORDS = {
    "trunkline.tenancy.access",
    "trunkline.tenancy.audit",
    "trunkline.tenancy.audited",
    "trunkline.tenancy.conversations",
    "trunkline.tenancy.history",
    "trunkline.tenancy.record",
    "trunkline.tenancy.seals",
    "trunkline.tenancy.retention",
    "trunkline.tenancy.standing",
    "trunkline.tenancy.tenant",
    "trunkline.tenancy.tokens",
}
EDGES = ("clients", "lanes", "stores")
ALLOWED = {
    **{part: BASE for part in BASE},
    "log_lines": set(),
    "logs": {"log_lines"},
    "arrival": BASE | {"protocol"},
    "protocol": {"errors"},
    "tenancy": BASE | {"protocol"},
    "delivery": BASE | {"protocol", "tenancy"},
    **{edge: BASE | {"protocol", "tenancy"} for edge in EDGES},
    "web": BASE | {"protocol", "tenancy", "delivery"},
}
PROTOCOL_LIBRARIES = {"pydantic", "orjson"}
# Entry points: they start things, so they may read settings and reach every layer.
ENTRY_POINTS = ("trunkline.cli", "trunkline.doctor", "scripts", "tests")


@dataclass(frozen=True)
class Import:
    """`module` imports `target`; `lazily` when not while it is being loaded itself."""

    module: str
    target: str
    lazily: bool

    def __str__(self) -> str:
        return f"{self.module} imports {self.target}"

    @property
    def top(self) -> str:
        return self.target.partition(".")[0]


def _module_of(path: Path) -> str:
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {
    _module_of(path): path
    for top in OURS
    for path in ([ROOT / f"{top}.py"] if (ROOT / f"{top}.py").exists() else sorted((ROOT / top).rglob("*.py")))
}


def _is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _imports_of(module: str, node: ast.AST, lazily: bool = False) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(module, alias.name, lazily) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            base = child.module or ""
            if child.level:
                package = module.split(".") if SOURCES[module].name == "__init__.py" else module.split(".")[:-1]
                base = ".".join([*package[: len(package) - child.level + 1], *filter(None, [child.module])])
            for alias in child.names:
                submodule = f"{base}.{alias.name}"
                yield Import(module, submodule if submodule in SOURCES else base, lazily)
        inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _is_for_types_only(child)
        yield from _imports_of(module, child, lazily or inside)


IMPORTS = [found for module, path in SOURCES.items() for found in _imports_of(module, ast.parse(path.read_text()))]


def _is_in(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _part(module: str) -> str | None:
    """The part of trunkline that a module is of: `trunkline.web.admin` is of `web`."""
    names = module.split(".")
    return names[1] if names[0] == "trunkline" and len(names) > 1 else None


def _check(breaches: Iterator[Import] | list[Import]) -> None:
    found = sorted({str(breach) for breach in breaches})
    assert not found, "\n".join(found)


def test_the_sources_are_found() -> None:
    assert {"serve_app", "actors.cell", "config.wiring", "trunkline.delivery.lane", "sandbox.app"} <= SOURCES.keys()
    assert Import("trunkline.delivery.lane", "trunkline.errors", lazily=False) in IMPORTS
    assert Import("actors.directory", "actors.cell", lazily=True) in IMPORTS


def test_ray_appears_in_actors_and_serve_app_only() -> None:
    hosts = ("actors", "serve_app", "tests.actors", "tests.ray", "tests.platform")
    _check([found for found in IMPORTS if found.top == "ray" and not _is_in(found.module, *hosts)])


def test_nothing_imports_what_stands_above_it() -> None:
    above = {
        "trunkline": ("config", "actors", "serve_app", "sandbox", "scripts", "tests"),
        "config": ("actors", "serve_app", "sandbox", "scripts", "tests"),
        "actors": ("sandbox", "scripts", "tests"),
        "serve_app": ("sandbox", "scripts", "tests"),
        "sandbox": ("trunkline", "config", "actors", "serve_app", "scripts", "tests"),
        "scripts": ("tests",),
    }
    _check(
        [
            found
            for found in IMPORTS
            for lower, forbidden in above.items()
            if _is_in(found.module, lower) and not _is_in(found.module, *ENTRY_POINTS) and found.top in forbidden
        ]
    )


def test_only_the_deployment_and_the_web_edge_name_serve_app() -> None:
    _check([f for f in IMPORTS if f.top == "serve_app" and not _is_in(f.module, "actors.deploy", "scripts", "tests")])


def test_the_operators_commands_stop_at_settings_and_stores() -> None:
    allowed = ("trunkline", "config.settings")
    commands = ("trunkline.cli", "trunkline.doctor")
    _check([f for f in IMPORTS if _is_in(f.module, *commands) and f.top in OURS and not _is_in(f.target, *allowed)])


def test_the_environment_is_read_by_settings_alone() -> None:
    readers = [
        module
        for module, path in SOURCES.items()
        if _is_in(module, "trunkline", "config") and "os.environ" in path.read_text() and module != "config.settings"
    ]
    assert not readers


@pytest.mark.parametrize("part", sorted(ALLOWED))
def test_a_part_of_trunkline_knows_only_what_lies_below(part: str) -> None:
    assert any(_part(module) == part for module in SOURCES), f"there is no trunkline.{part}"
    _check(
        [
            found
            for found in IMPORTS
            if _part(found.module) == part
            if (target := _part(found.target)) is not None and target != part and target not in ALLOWED[part]
        ]
    )


def test_every_part_of_trunkline_has_its_place() -> None:
    parts = {part for module in SOURCES if (part := _part(module)) is not None}
    assert parts == ALLOWED.keys() | {"cli", "doctor"}


def test_edges_know_records_and_ports_of_tenancy_but_none_of_its_rules() -> None:
    _check(
        [
            found
            for found in IMPORTS
            if _part(found.module) in EDGES and _part(found.target) == "tenancy" and found.target not in RECORDS
        ]
    )


def test_opentelemetry_is_loaded_by_the_wiring_of_traces_alone() -> None:
    _check([found for found in IMPORTS if found.top == "opentelemetry" and not _is_in(found.module, *TRACED, "tests")])
    users = TRACED | {"config.traced"}
    _check(
        [
            found
            for found in IMPORTS
            if _is_in(found.target, *users) and not _is_in(found.module, *users, "tests") and not found.lazily
        ]
    )


def test_protocol_is_pure() -> None:
    outside = [found for found in IMPORTS if _part(found.module) == "protocol" and found.top != "trunkline"]
    _check([found for found in outside if found.top not in PROTOCOL_LIBRARIES | sys.stdlib_module_names])
    impure = {"asyncio", "os", "socket", "random", "secrets", "time", "threading", "subprocess", "logging"}
    _check([found for found in outside if found.top in impure])


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {module: set() for module in SOURCES}
    for found in IMPORTS:
        if not found.lazily and found.target in SOURCES and found.target != found.module:
            graph[found.module].add(found.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_every_folder_of_tests_is_a_package() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]
