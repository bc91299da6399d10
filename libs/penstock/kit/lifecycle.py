"""The life of one service: connect, check, build, serve, ready; and at the end stop taking, finish, flush, close.

Services start in any order: what is not there yet is waited for, said in the log once and in /ready all the time.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Generic, TypeVar

import msgspec

from penstock.bus import Bus, BusConfig
from penstock.bus.micro import Micro
from penstock.contracts.errors import Code, Failure
from penstock.contracts.stores import AUDIT_LOG
from penstock.kit.boundary import Boundary
from penstock.kit.clock import Clock
from penstock.kit.config import KitConfig
from penstock.kit.describe import described
from penstock.kit.entry import Background, Edge, Hosting, Service
from penstock.kit.fail_open import FailOpen
from penstock.kit.handling import Handling, bug
from penstock.kit.health import HealthServer
from penstock.kit.identity import Identities
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.parts import Parts
from penstock.kit.readiness import Readiness, watch_loop_lag
from penstock.kit.recorder import Recorder
from penstock.kit.retry import Backoff
from penstock.kit.span import UNTRACED, Tracer
from penstock.kit.tracing import SpanLimits, tracer

ConfigType = TypeVar("ConfigType", bound=KitConfig)
Result = TypeVar("Result")

BACKOFF = Backoff(first_s=0.2, most_s=3.0)
WORTH_WAITING = frozenset(
    {Code.UNAVAILABLE, Code.DEADLINE, Code.OVERLOADED, Code.NOT_FOUND, Code.RATE_LIMITED, Code.UPSTREAM}
)
"""What may pass by itself while a service starts; anything else ends the start."""
STEP_S = 2.0
"""What a step of the stop may take when the time to drain is over."""
WATCH_AGAIN_S = 1.0
"""After a watch of a bucket has failed."""
SPANS_FLUSH_S = 3.0
"""What the last spans may take at most, of the time to drain."""
NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})

Build = Callable[[ConfigType, Parts], AbstractAsyncContextManager[Service]]


class _StreamInfo(msgspec.Struct):
    config: msgspec.Raw


class Host(Generic[ConfigType]):
    """Starts and stops one service; one use. `otel`: the environment with OpenTelemetry's settings."""

    def __init__(
        self,
        build: Build[ConfigType],
        config: ConfigType,
        name: str,
        *,
        log: Log,
        clock: Clock,
        honours: frozenset[str] = frozenset(),
        otel: Mapping[str, str] = NO_ENVIRONMENT,
    ) -> None:
        self.name = name
        self.config = config
        self.metrics = Metrics(name)
        self.readiness = Readiness(name, clock, self.metrics, log, config.check_every_s)
        self.failed = asyncio.Event()
        self.health_port = 0
        self.exit_code = 0
        self._build = build
        self._log = log
        self._clock = clock
        self._honours = honours
        self._otel = otel
        self._tracer: Tracer = UNTRACED
        self._health = HealthServer(self.readiness.live, self.readiness.ready, self.metrics.render)
        self._bus: Bus | None = None
        self._recorder: Recorder | None = None
        self._service: Service | None = None
        self._micro: Micro | None = None
        self._life: asyncio.Task[None] | None = None
        self._end = asyncio.Event()
        self._stopping = asyncio.Event()
        self.parts: Parts | None = None
        self._tasks: list[asyncio.Task[None]] = []

    # Start ------------------------------------------------------------------------------------------------------

    async def start(self) -> Parts:
        """Returns when the service is ready. Raises what makes a start hopeless; `stop` cleans up in any case."""
        config = self.config
        self.health_port = await self._health.start(config.health_host, config.health_port)
        self._log.info("starting", health_port=self.health_port)
        bus = self._bus = await self._patiently("the broker", self._connect)
        await self._patiently("streams and consumers", lambda: self._no_drift(bus))
        parts = self.parts = self._parts(bus)
        hosting = Hosting(
            bus,
            Handling(parts.identities, self._clock, self.metrics, self._log, parts.tracer),
            self.metrics,
            self._log,
            parts.stopping,
        )
        await self._patiently("revocations", parts.identities.revocations.load)
        service = self._service = await self._patiently("its own parts", lambda: self._built(parts))
        for work in service.background:
            self._spawn(_name(work), _ran(work), may_end=True)
        for endpoint in service.endpoints:
            await self._patiently(endpoint.name, partial(endpoint.start, hosting))
            if isinstance(endpoint, Edge) and endpoint.task is not None:
                self._look_after(endpoint.name, endpoint.task)
        self._watch(bus, parts)
        micro = self._micro = described(bus, self.name, hosting.handling)
        await self._patiently("its description", micro.start)
        self.readiness.phase = ""
        await self._patiently("", self._checked)
        self._spawn("readiness", self.readiness.watch())
        self._log.info("ready", health_port=self.health_port, endpoints=[each.name for each in service.endpoints])
        return parts

    async def _patiently(self, what: str, step: Callable[[], Awaitable[Result]]) -> Result:
        """Again and again while what is missing may still come."""
        said = ""
        tries = 0
        while True:
            # without a name it is the checks themselves that are waited for: a phase would keep them from passing
            self.readiness.phase = ": ".join(filter(None, ("starting", what, said))) if what else ""
            try:
                return await step()
            except Failure as failure:
                if failure.code not in WORTH_WAITING or self.readiness.crashed:
                    raise
                tries += 1
                if failure.detail != said:
                    self._log.warning("waiting", what=what, why=failure.detail)
                    said = failure.detail
            await self._clock.sleep(BACKOFF.delay_s(tries, random.random()))

    async def _connect(self) -> Bus:
        config = self.config
        return await Bus.connect(
            BusConfig(
                url=config.nats_url,
                principal=self.name,
                seed_file=config.nats_seed_file,
                tls_ca_file=config.nats_ca_file,
                connect_timeout_s=config.nats_connect_timeout_s,
            )
        )

    async def _no_drift(self, bus: Bus) -> None:
        drift = await bus.drift(self.name)
        if drift:
            raise Failure(Code.UNAVAILABLE, " ".join(drift))

    async def _checked(self) -> None:
        await self.readiness.check()
        state = self.readiness.ready()
        if not state.ok:
            raise Failure(Code.UNAVAILABLE, "; ".join(state.reasons))

    def _parts(self, bus: Bus) -> Parts:
        config, clock, metrics, log = self.config, self._clock, self.metrics, self._log
        recorder = self._recorder = Recorder(
            bus, self.name, clock, metrics, log, queue_max=config.audit_queue_max, wait_s=config.audit_wait_s
        )
        identities = Identities(bus, clock, metrics, cached_max=config.tokens_cached_max)
        fail_open = FailOpen(
            identities,
            recorder,
            clock,
            metrics,
            log,
            remembered_max=config.fail_open_remembered_max,
            ask_s=config.fail_open_ask_s,
        )
        self.readiness.note("fail open", fail_open.said)
        boundary = Boundary(
            bus, recorder, clock, metrics, honours=self._honours, identities=identities, fail_open=fail_open
        )
        limits = SpanLimits(config.spans_queue_max, config.spans_batch_max, config.spans_every_s)
        self._tracer = tracer(self._otel, self.name, bus.connection.instance, limits, metrics, log)
        return Parts(
            service=self.name,
            instance=bus.connection.instance,
            bus=bus,
            metrics=metrics,
            log=log,
            clock=clock,
            boundary=boundary,
            recorder=recorder,
            identities=identities,
            readiness=self.readiness,
            tracer=self._tracer,
            stopping=self._stopping,
            config_dir=Path(config.config_dir),
            data_dir=Path(config.data_dir),
        )

    async def _built(self, parts: Parts) -> Service:
        """Enters the builder in a task that will also leave it, as task groups and cancel scopes inside it need."""
        made: asyncio.Future[Service] = asyncio.get_running_loop().create_future()
        life = asyncio.create_task(self._live(parts, made), name="parts")
        life.add_done_callback(lambda _: None if made.done() else made.cancel())
        try:
            await asyncio.wait({made})
        finally:
            if not made.done():
                life.cancel()
                await asyncio.wait({life})
        if made.cancelled():
            await life
            raise Failure(Code.INTERNAL, "the builder made no service")
        self._life = life
        self._look_after("its own parts", life)
        return made.result()

    async def _live(self, parts: Parts, made: asyncio.Future[Service]) -> None:
        async with self._build(self.config, parts) as service:
            made.set_result(service)
            await self._end.wait()

    def _watch(self, bus: Bus, parts: Parts) -> None:
        self.readiness.fact("broker", lambda: "" if bus.connected else "it cannot be reached")
        self.readiness.add("audit", lambda: _audit_stream(bus, parts.recorder))
        self.metrics.bus_connected.watch(lambda: float(bus.connected))
        bus.connection.on_reconnect(self.metrics.bus_reconnects.add)
        self._spawn("event loop watch", watch_loop_lag(self.metrics))
        revocations = parts.identities.revocations
        self.readiness.fact("revocations", lambda: "they cannot be read" if revocations.stale else "")
        self._spawn("keys", self._for_ever("keys", parts.identities.watch_keys))
        self._spawn("revocations", self._for_ever("revocations", revocations.watch))

    async def _for_ever(self, what: str, watch: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await watch()
            except Failure as failure:
                self._log.warning("cannot be watched", what=what, why=str(failure))
            await self._clock.sleep(WATCH_AGAIN_S)

    # Tasks ------------------------------------------------------------------------------------------------------

    def _spawn(self, name: str, work: Coroutine[object, object, None], *, may_end: bool = False) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.append(task)
        self._look_after(name, task, may_end=may_end)

    def _look_after(self, name: str, task: asyncio.Task[None], *, may_end: bool = False) -> None:
        """A part that ends before its time brings the service down: a supervisor starts it whole again."""

        def ended(_: asyncio.Task[None]) -> None:
            error = None if task.cancelled() else task.exception()
            if isinstance(error, Exception) and not isinstance(error, Failure):
                bug(error, self._log, where=name)
            elif error is not None:
                self._log.error("a part failed", part=name, why=str(error))
            if not self._stopping.is_set() and not (may_end and error is None):
                self.readiness.crashed = f"{name} has ended"
                self.failed.set()

        task.add_done_callback(ended)

    # Stop -------------------------------------------------------------------------------------------------------

    async def stop(self, hard: asyncio.Event) -> int:
        """Within `drain_s`, or at once when `hard` is set; works while the broker is away. 0: nothing was lost."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + self.config.drain_s

        def left_s() -> float:
            return 0.0 if hard.is_set() else max(0.0, ends - loop.time())

        self.readiness.phase = "stopping"
        self.metrics.ready.set(0)
        self._log.info("stopping", in_flight=self._bus.in_flight if self._bus else 0, drain_s=self.config.drain_s)
        whole = True
        self._stopping.set()
        if self._bus is not None:
            await self._finish(self._bus, hard, left_s)
        await self._cancelled(self._tasks)
        if self._life is not None:
            self._end.set()
            whole &= await self._within("parts", self._left(self._life), left_s() + STEP_S)
        if self._recorder is not None:
            lost = await self._recorder.close(max(left_s(), STEP_S))
            whole &= lost == 0
        await self._within("spans", self._tracer.close(min(left_s(), SPANS_FLUSH_S)), SPANS_FLUSH_S + STEP_S)
        if self._bus is not None:
            whole &= await self._within("bus", self._bus.close(), STEP_S * 2)
        await self._within("health", self._health.close(), STEP_S)
        self.exit_code = 0 if whole else 1
        self._log.info("stopped", whole=whole)
        return self.exit_code

    async def _finish(self, bus: Bus, hard: asyncio.Event, left_s: Callable[[], float]) -> None:
        """Takes nothing new, lets what runs end by itself, then ends it."""
        if self._micro is not None:
            await self._within("description", self._micro.stop(), STEP_S)
        await self._within("stop serving", bus.stop_serving(), STEP_S)
        endpoints = self._service.endpoints if self._service else []
        finish_s = left_s()
        running = {asyncio.create_task(_idle(bus, finish_s + STEP_S))}
        for endpoint in endpoints:
            running.add(asyncio.create_task(self._within(endpoint.name, endpoint.stop(finish_s), finish_s + STEP_S)))
        signal = asyncio.create_task(hard.wait())
        pending = running
        while pending and left_s() > 0:
            await asyncio.wait({*pending, signal}, timeout=left_s(), return_when=asyncio.FIRST_COMPLETED)
            pending = {task for task in pending if not task.done()}
        if pending:
            self._log.warning("stopping what runs", in_flight=bus.in_flight)
            bus.stop_handlers(Failure(Code.UNKNOWN_OUTCOME, "the service stopped before it was done"))
            ends = (self._within(endpoint.name, endpoint.stop(0.0), STEP_S) for endpoint in endpoints)
            await asyncio.gather(_idle(bus, STEP_S), *ends)
        for task in (*pending, signal):
            task.cancel()

    async def _cancelled(self, tasks: list[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STEP_S)

    async def _left(self, life: asyncio.Task[None]) -> None:
        await asyncio.wait({life})
        if not life.cancelled() and life.exception() is not None:
            raise Failure(Code.INTERNAL, "the service's parts did not close")

    async def _within(self, what: str, step: Awaitable[None], timeout_s: float) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await step
        except TimeoutError:
            self._log.warning("stop: not in time", what=what, timeout_s=round(timeout_s, 1))
            return False
        except Failure as failure:
            self._log.warning("stop: failed", what=what, why=str(failure))
            return False
        return True


async def _idle(bus: Bus, timeout_s: float) -> bool:
    return await bus.idle(timeout_s)


def _name(work: Background) -> str:
    function = work.func if isinstance(work, partial) else work
    return getattr(function, "__qualname__", "background")


async def _ran(work: Callable[[], Awaitable[None]]) -> None:
    await work()


async def _audit_stream(bus: Bus, recorder: Recorder) -> None:
    """Cheap: one question to the stream's leader, and whether our own last append went through."""
    if recorder.failing_s:
        raise Failure(Code.UNAVAILABLE, f"records cannot be written since {recorder.failing_s:.0f} s")
    await bus.jetstream.ask(f"STREAM.INFO.{AUDIT_LOG.name}", {}, _StreamInfo, "the audit stream")
