"""Each service is a process of its own: it runs with the libraries, its own folder and its own extra, and no more."""

import asyncio
import importlib.metadata as metadata
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path

import grimp
import pytest

from deploy.requirements import requirements
from penstock.bus import Bus, BusConfig
from penstock.bus.permissions import SETUP
from penstock.contracts.services import SERVICES
from penstock.local.child import Child, Command
from penstock.local.ports import choose_ports
from penstock.local.readiness import answers_200
from tests.support.nats_server import NatsServer, nats_server
from tests.support.valkey_server import ValkeyServer, valkey_server

ROOT = Path(__file__).parents[2]
OWN = {"penstock", "services"}
NAME = re.compile(r"([A-Za-z0-9._-]+)(?:\[([\w,-]+)\])?")
WITH_STORE = {"policy", "context", "tool_executor"}


def distribution(requirement: str) -> tuple[str, tuple[str, ...]]:
    """The normal form of its name, and the extras that are asked for."""
    found = NAME.match(requirement)
    assert found, requirement
    return re.sub(r"[-_.]+", "-", found[1]).lower(), tuple(found[2].split(",")) if found[2] else ()


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph("penstock", "services", include_external_packages=True, cache_dir=None)


@cache
def distributions() -> dict[str, set[str]]:
    """By top-level package, who may have brought it."""
    return {
        package: {distribution(name)[0] for name in names}
        for package, names in metadata.packages_distributions().items()
    }


def imported_by(service: str) -> set[str]:
    """Top-level packages that a service's process may import, in whatever way: also inside functions."""
    start = f"services.{service}.__main__"
    reached = graph().find_upstream_modules(start) | {start}
    return {module.partition(".")[0] for module in reached} - OWN - set(sys.stdlib_module_names)


def needed(service: str) -> set[str]:
    """Everything that installing the service's extra brings, directly or not, as distributions."""
    found: set[str] = set()
    waiting = [distribution(line) for line in requirements(ROOT / "pyproject.toml", [service])]
    while waiting:
        name, extras = waiting.pop()
        found.add(name)
        for line in metadata.requires(name) or []:
            requirement, _, marker = line.partition(";")
            wanted = re.search(r"extra\s*==\s*[\"']([\w-]+)[\"']", marker)
            if wanted and wanted[1] not in extras:
                continue
            other, more = distribution(requirement)
            if other not in found and _installed(other):
                waiting.append((other, more))
    return found


def _installed(name: str) -> bool:
    """What a marker leaves out on this machine is not there."""
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


@pytest.mark.parametrize("service", SERVICES)
def test_whatever_a_service_imports_is_named_by_its_own_extra(service: str) -> None:
    # spans are for whoever installs them as well; that a service does without is what the last test here shows
    named = {distribution(line)[0] for line in requirements(ROOT / "pyproject.toml", [service, "tracing"])}
    for package in sorted(imported_by(service)):
        assert distributions().get(package, set()) & named, f"{service} imports {package}: no requirement names it"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_reaches_no_other_service_through_the_libraries(service: str) -> None:
    start = f"services.{service}.__main__"
    others = {
        module
        for module in graph().find_upstream_modules(start)
        if module.startswith("services.") and not module.startswith(f"services.{service}")
    }
    assert others == set()


@pytest.fixture
async def servers() -> AsyncIterator[tuple[NatsServer, ValkeyServer]]:
    async with nats_server() as broker, valkey_server(password="for-a-test") as store:
        bus = await Bus.connect(BusConfig(url=broker.url, principal=SETUP))
        await bus.prepare()
        await bus.close()
        yield broker, store


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_runs_and_stops_with_its_own_folder_and_extra_alone(
    service: str, servers: tuple[NatsServer, ValkeyServer], tmp_path: Path
) -> None:
    broker, store = servers
    only = tmp_path / "only"
    shutil.copytree(ROOT / "libs", only / "libs", ignore=shutil.ignore_patterns("__pycache__"))
    (only / "services").mkdir()
    shutil.copy(ROOT / "services" / "__init__.py", only / "services")
    shutil.copytree(ROOT / "services" / service, only / "services" / service)
    shutil.copy(ROOT / "tests" / "support" / "alone.py", only)
    extra = needed(service)
    missing = {package for package, names in distributions().items() if not names & extra} - OWN
    assert {"pytest", "onnxruntime", "xllamacpp"} <= missing
    ports = choose_ports(tmp_path / "ports.json", {"health": 0, "http": 0}, {})
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "tools.yaml").write_text("tools: []\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PENSTOCK_")} | {
        "PYTHONPATH": os.pathsep.join([str(only / "libs"), str(only)]),
        "PENSTOCK_NATS_URL": broker.url,
        "PENSTOCK_HEALTH_PORT": str(ports["health"]),
        "PENSTOCK_CONFIG_DIR": str(tmp_path / "config"),
        "PENSTOCK_DATA_DIR": str(tmp_path / "data"),
        "PENSTOCK_DRAIN_S": "5",
    }
    if service in WITH_STORE:
        environment["PENSTOCK_STORE_URL"] = store.url
    if service == "gateway":
        environment["PENSTOCK_HTTP_PORT"] = str(ports["http"])
    argv = (sys.executable, str(only / "alone.py"), ",".join(sorted(missing)), f"services.{service}")
    child = Child(Command(service, argv, tmp_path / "output.log", env=environment, cwd=tmp_path))
    child.start()

    async def ready() -> bool:
        return await answers_200(f"http://127.0.0.1:{ports['health']}/ready")

    try:
        await child.until_ready(ready, 30.0)
        os.kill(child.pid, signal.SIGTERM)
        assert await asyncio.wait_for(child.exited(), 20.0) == 0, child.output()
    finally:
        await child.kill()


async def test_a_package_that_is_not_in_the_extra_is_missed(tmp_path: Path) -> None:
    argv = (sys.executable, str(ROOT / "tests" / "support" / "alone.py"), "cryptography", "services.audit")
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    _, said = await asyncio.wait_for(process.communicate(), 20.0)
    assert process.returncode == 1
    assert b"not in the service's extra" in said
