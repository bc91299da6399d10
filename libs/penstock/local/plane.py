"""The whole plane on this machine: broker, store, set-up, seven services and a small model, as one supervised tree."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files

from penstock.bus.callout_keys import make_callout_keys
from penstock.bus.nkey import load_or_make
from penstock.bus.permissions import SETUP, principals
from penstock.bus.server_config import BusUser, render
from penstock.contracts.services import SERVICES
from penstock.local.broker import Broker, BrokerSettings
from penstock.local.child import Command
from penstock.local.environment import (
    Addresses,
    Environment,
    callout_folder,
    has_provider_key,
    seed_file,
    wants_local_models,
)
from penstock.local.layout import Layout, write_private
from penstock.local.ports import HOST, choose_ports
from penstock.local.prepared import SetUp
from penstock.local.processes import Notice, Part, Program, Restarts, Supervisor, answers, says
from penstock.local.state import State, forget_state, write_state
from penstock.local.store import Store, StoreSettings

STAGES = ("policy", "audit"), ("router", "tool_executor", "context"), ("orchestrator",), ("gateway",)
"""Services in the order of their stop, the last first: whoever is asked by others goes last."""
FIRST_PORTS = {"broker": 4222, "store": 0, "http": 8080, "chat": 0, "embeddings": 0}
DEFAULT_FILES = ("tools.yaml", "agents.yaml", "accounts.yaml")


@dataclass(frozen=True, slots=True)
class PlaneSettings:
    """`ports`: fixed ones by name (broker, http, …); `free_ports`: any, where nobody knows the address beforehand.

    `static_tenants`: whose NATS clients the broker lets in by an nkey, without asking policy; all others' come with
    their API keys. `model`: the small local models, unless a provider's key is set that makes them needless.
    `sync_always`: every message on disk before it is acknowledged. `more`: settings of a service beyond those of
    environment.py, for tests and demonstrations.
    """

    layout: Layout
    environment: Mapping[str, str]
    tenant: str = "default"
    static_tenants: tuple[str, ...] = ()
    model: bool = True
    ports: Mapping[str, int] = field(default_factory=dict)
    free_ports: bool = False
    sync_always: bool = True
    log_level: str = "info"
    more: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ready_timeout_s: float = 60.0


class Plane:
    """One use: prepare, then run until told to stop. The folder must be held (`Layout.held`)."""

    def __init__(self, settings: PlaneSettings, told: Callable[[Notice], None]) -> None:
        self._settings = settings
        self._layout = settings.layout
        self._told = told
        self._local_model = settings.model and wants_local_models(settings.environment)
        first = dict.fromkeys(FIRST_PORTS, 0) if settings.free_ports else FIRST_PORTS
        wanted = first | {f"health.{service}": 0 for service in SERVICES}
        self._ports = choose_ports(self._layout.root / "ports.json", wanted, settings.ports)
        copy_defaults(self._layout)
        self._broker = self._make_broker()
        self._store = self._make_store()
        self._services: dict[str, Program] = {}
        self._model: Program | None = None
        self._ready = False

    @property
    def state(self) -> State:
        """What commands beside the plane may know; no secret."""
        return State(
            pid=os.getpid(),
            url=f"nats://{HOST}:{self._ports['broker']}",
            http_url=f"http://{HOST}:{self._ports['http']}",
            health={name: self._health_url(name) for name in SERVICES},
            tenant=self._settings.tenant,
            model=self._model_in_words(),
            model_url=self._model_urls()[0],
            store_port=self._ports["store"],
            ready=self._ready,
            pids={name: program.child.pid for name, program in self._services.items() if program.child.running},
        )

    async def run(self, until: asyncio.Event, ready: Callable[[State], None]) -> None:
        """Starts everything, calls `ready` once, and stops everything when `until` is set. Nothing runs afterwards.

        Raises StartFailed when a part does not come up, GaveUp when one does not stay up.
        """
        self._make_programs()
        write_state(self._layout.root, self.state)

        def all_ready() -> None:
            self._ready = True
            write_state(self._layout.root, self.state)
            ready(self.state)

        try:
            await Supervisor(self._stages(), self._noticed, Restarts(at_most=20)).run(until, all_ready)
        finally:
            forget_state(self._layout.root)

    def _noticed(self, notice: Notice) -> None:
        if self._ready and notice.what == "ready":
            write_state(self._layout.root, self.state)  # it has a new process
        self._told(notice)

    # Parts ------------------------------------------------------------------------------------------------------

    def _stages(self) -> list[list[Part]]:
        early = [*self._services.values(), *([self._model] if self._model else [])]
        servers: list[Part] = [self._broker, self._store, Launch(early)]
        stages: list[list[Part]] = [servers, [SetUp(lambda: self._broker.url, str(seed_file(self._layout, SETUP)))]]
        stages += [[self._services[name] for name in stage] for stage in STAGES]
        if self._model:
            stages.append([self._model])
        return stages

    def _make_broker(self) -> Broker:
        config = self._layout.broker / "broker.conf"
        callout = make_callout_keys(callout_folder(self._layout))
        written = render(self._users(), callout=callout, sync_always=self._settings.sync_always)
        write_private(config, written.encode())
        return Broker(
            BrokerSettings(
                config, self._layout.broker, store=self._layout.broker / "jetstream", port=self._ports["broker"]
            )
        )

    def _make_store(self) -> Store:
        password = self._layout.secret("store-password")
        return Store(StoreSettings(self._layout.store, password_file=password, port=self._ports["store"]))

    def _users(self) -> list[BusUser]:
        return [
            BusUser(name, load_or_make(seed_file(self._layout, name)), rights)
            for name, rights in principals(self._settings.static_tenants).items()
        ]

    def _make_programs(self) -> None:
        url_file = self._layout.keys / "store-url"
        write_private(url_file, self._store.url.encode())
        environment = Environment(
            self._layout,
            Addresses(
                f"nats://{HOST}:{self._ports['broker']}",
                url_file,
                self._ports["http"],
                {name: self._ports[f"health.{name}"] for name in SERVICES},
                self._model_urls(),
            ),
            self._settings.environment,
            log_level=self._settings.log_level,
            more=self._settings.more,
        )
        for name in SERVICES:
            command = Command(
                name,
                (sys.executable, "-m", f"services.{name}"),
                self._layout.logs / f"{name}.log",
                env=environment.of(name),
                cwd=self._layout.root,
            )
            ready = answers(f"{self._health_url(name)}/ready")
            self._services[name] = Program(command, ready, self._settings.ready_timeout_s)
        if self._local_model:
            self._model = self._make_model()

    def _make_model(self) -> Program:
        ports = ("--chat-port", str(self._ports["chat"]), "--embeddings-port", str(self._ports["embeddings"]))
        argv = (sys.executable, "-m", "penstock.local.model_server", *ports)
        command = Command("model", argv, self._layout.logs / "model.log", env=self._settings.environment)
        return Program(command, says("^ready "), self._settings.ready_timeout_s, grace_s=5.0)

    def _health_url(self, service: str) -> str:
        return f"http://{HOST}:{self._ports[f'health.{service}']}"

    def _model_urls(self) -> tuple[str, str]:
        if not self._local_model:
            return "", ""
        return f"http://{HOST}:{self._ports['chat']}/v1", f"http://{HOST}:{self._ports['embeddings']}/v1"

    def _model_in_words(self) -> str:
        if (self._layout.config / "models.yaml").exists():
            return "as config/models.yaml says"
        if has_provider_key(self._settings.environment):
            return "a provider's, by its key"
        return "SmolLM2 135M on this machine: small, fluent and often wrong" if self._local_model else "none"


class Launch:
    """Starts programs without waiting for them: they load while the servers come up, and find these by themselves."""

    name = "launch"

    def __init__(self, programs: list[Program]) -> None:
        self._programs = programs

    async def start(self) -> None:
        for program in self._programs:
            program.launch()

    async def exited(self) -> int:
        await asyncio.Event().wait()
        return 0

    async def stop(self) -> None:
        """Those whose turn to be waited for never came."""
        await asyncio.gather(*(program.stop() for program in self._programs if program.child.running))


def copy_defaults(layout: Layout) -> None:
    """The files that a new plane begins with, where there are none yet: tools, agents, limits, and the policies."""
    for name in DEFAULT_FILES:
        if not (layout.config / name).exists():
            write_private(layout.config / name, files("penstock.local.defaults").joinpath(name).read_bytes())
    if not any(layout.policies.glob("*.cedar")):
        for file in files("services.policy").joinpath("bundles", "starter").iterdir():
            write_private(layout.policies / file.name, file.read_bytes())
