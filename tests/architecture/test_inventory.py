"""Nothing gets in and nothing has an effect without an entry in the inventory, which says what is decided for it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import cedarpy
import pytest

from services.gateway import app
from services.gateway.authzen import WELL_KNOWN as AUTHZEN
from services.gateway.resource import WELL_KNOWN as RESOURCE
from services.policy.rules.schema_shape import read_shape
from tests.architecture.inventory import BUS, HTTP, HTTP_WITHOUT_A_KEY, OUT, PROVIDERS

ROOT = Path(__file__).parents[2]
SERVICES = ROOT / "services"
ENTRIES = frozenset({"answer", "stream", "listen", "work", "deposit", "edge"})
"""The kit's functions that make an endpoint."""
WAYS_OUT = frozenset(
    {
        "aiohttp",
        "asyncpg",
        "ftplib",
        "http",
        "httpx",
        "requests",
        "smtplib",
        "socket",
        "sqlite3",
        "subprocess",
        "urllib3",
    }
)
"""Libraries by which a process reaches out; and the store's client, and writing files."""
ALL = {**HTTP, **HTTP_WITHOUT_A_KEY, **BUS, **OUT, **PROVIDERS}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SERVICES.rglob("*.py")):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def endpoints() -> set[str]:
    found = set()
    for path, tree in modules():
        for call in ast.walk(tree):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ENTRIES):
                continue
            name = call.args[0] if call.args else None
            if isinstance(name, ast.Name) and name.id.isupper():
                found.add(f"{path.split('/')[1]} {name.id}")
            elif isinstance(name, ast.Constant) and isinstance(name.value, str):
                found.add(f"{path.split('/')[1]} {name.value}")
    return found


def reaches_out(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names) if any(name.name.partition(".")[0] in WAYS_OUT for name in names):
                return True
            case ast.ImportFrom(module=str(module), names=names):
                if module.partition(".")[0] in WAYS_OUT:
                    return True
                if module == "penstock.kit.store" and any(name.name in ("Store", "Script") for name in names):
                    return True
            case ast.Attribute(attr="write_text" | "write_bytes" | "urlopen"):
                return True
    return False


def asks_providers(tree: ast.Module) -> bool:
    """`providers[...]` or `self._providers[...]`: who holds the table and takes one out of it."""
    return any(
        isinstance(node, ast.Subscript)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr in ("providers", "_providers")
        for node in ast.walk(tree)
    )


def test_every_route_of_the_edge_has_an_entry() -> None:
    class Named:
        def __getattr__(self, name: str) -> "Named":
            return self

    table = app.routes(Named())  # type: ignore[arg-type]  # only the names of handlers are looked at
    assert {f"{method} {path}" for method, path, _ in table} == set(HTTP)


def test_every_path_that_needs_no_key_has_an_entry() -> None:
    bare = [AUTHZEN, RESOURCE, RESOURCE + "/{of:path}"]
    assert sorted(bare) == sorted(HTTP_WITHOUT_A_KEY)
    source = (SERVICES / "gateway" / "app.py").read_text(encoding="utf-8")
    routes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    made = [call for call in routes if isinstance(call.func, ast.Name) and call.func.id in ("Route", "Mount")]
    assert len(made) == 3, "the table of routes, and those without a key: a new one needs an entry"


def test_everything_that_is_served_on_the_bus_has_an_entry() -> None:
    assert endpoints() == set(BUS)


def test_everything_that_reaches_out_has_an_entry() -> None:
    assert {path for path, tree in modules() if reaches_out(tree)} == set(OUT)


def test_everything_that_asks_a_provider_has_an_entry() -> None:
    assert {path for path, tree in modules() if asks_providers(tree)} == set(PROVIDERS)


@pytest.mark.parametrize("bundle", ["starter", "strict", "hipaa", "soc2"])
def test_every_decision_is_an_action_that_policies_know_and_every_such_action_is_needed(bundle: str) -> None:
    schema = (SERVICES / "policy" / "bundles" / bundle / "schema.cedarschema").read_text(encoding="utf-8")
    needed = {action for entry in ALL.values() if not entry.startswith("none: ") for action in entry.split(" or ")}
    assert needed == set(_actions(schema))


def test_a_service_asks_for_the_actions_of_its_entries() -> None:
    for name, entry in [*BUS.items(), *((path.split("/")[1] + " " + path, entry) for path, entry in OUT.items())]:
        if entry.startswith("none: "):
            continue
        service = name.partition(" ")[0]
        text = "\n".join(path.read_text(encoding="utf-8") for path in (SERVICES / service).rglob("*.py"))
        for action in entry.split(" or "):
            assert f'"{action}"' in text, f"{service} never asks for {action}"


def test_who_asks_for_no_decision_says_why() -> None:
    for name, entry in ALL.items():
        if entry.startswith("none:"):
            assert len(entry) > len("none: because"), name


def _actions(schema: str) -> Iterator[str]:
    yield from read_shape(str(cedarpy.Schema.from_str(schema))).actions
