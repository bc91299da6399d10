"""The NATS micro protocol (ADR-32): every service answers PING, INFO and STATS, so that `nats micro ls` shows it."""

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

from penstock.bus.codec import encode
from penstock.bus.connection import Connection, Subscription
from penstock.bus.message import Message
from penstock.contracts.errors import Failure

_TYPE = "io.nats.micro.v1."


class MicroEndpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """One subject that the service answers."""

    name: str
    subject: str
    queue_group: str
    metadata: dict[str, str] = {}


class EndpointStats(msgspec.Struct, frozen=True):
    """What happened at one endpoint since the start. Times in nanoseconds."""

    name: str
    subject: str
    queue_group: str
    num_requests: int = 0
    num_errors: int = 0
    last_error: str = ""
    processing_time: int = 0
    average_processing_time: int = 0


class Description(msgspec.Struct, frozen=True):
    """A service as the protocol shows it. `name`: letters, digits, - and _; `version`: a semantic version."""

    name: str
    version: str
    description: str = ""
    endpoints: tuple[MicroEndpoint, ...] = ()
    metadata: dict[str, str] = {}


class _Reply(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    id: str
    version: str
    metadata: dict[str, str]
    type: str


class _Info(_Reply, frozen=True, kw_only=True):
    description: str
    endpoints: tuple[MicroEndpoint, ...]


class _Stats(_Reply, frozen=True, kw_only=True):
    started: str
    endpoints: list[EndpointStats]


class Micro:
    """Answers for one instance of one service, until `stop`. Without `stats` every count is zero."""

    def __init__(
        self,
        connection: Connection,
        description: Description,
        stats: Callable[[], list[EndpointStats]] | None = None,
    ) -> None:
        self._connection = connection
        self._description = description
        self._stats = stats or self._zeros
        self._started = datetime.fromtimestamp(time.time(), UTC).isoformat().replace("+00:00", "Z")
        self._subscriptions: list[Subscription] = []

    async def start(self) -> None:
        """Nine subjects, without a queue group: every instance answers."""
        verbs: dict[str, Callable[[], _Reply]] = {"PING": self._ping, "INFO": self._info, "STATS": self._statistics}
        name, id = self._description.name, self._connection.instance
        for verb, answer in verbs.items():
            for subject in (f"$SRV.{verb}", f"$SRV.{verb}.{name}", f"$SRV.{verb}.{name}.{id}"):
                self._subscriptions.append(await self._connection.subscribe(subject, self._answering(answer)))

    async def stop(self) -> None:
        """Answers no more."""
        for subscription in self._subscriptions:
            await subscription.close()
        self._subscriptions.clear()

    def _answering(self, answer: Callable[[], _Reply]) -> Callable[[Message], None]:
        def arrived(message: Message) -> None:
            if message.reply:
                with suppress(Failure):
                    self._connection.publish(message.reply, encode(answer()))

        return arrived

    def _ping(self) -> _Reply:
        described = self._description
        return _Reply(
            name=described.name,
            id=self._connection.instance,
            version=described.version,
            metadata=described.metadata,
            type=f"{_TYPE}ping_response",
        )

    def _info(self) -> _Reply:
        described = self._description
        return _Info(
            name=described.name,
            id=self._connection.instance,
            version=described.version,
            metadata=described.metadata,
            type=f"{_TYPE}info_response",
            description=described.description,
            endpoints=described.endpoints,
        )

    def _statistics(self) -> _Reply:
        described = self._description
        return _Stats(
            name=described.name,
            id=self._connection.instance,
            version=described.version,
            metadata=described.metadata,
            type=f"{_TYPE}stats_response",
            started=self._started,
            endpoints=self._stats(),
        )

    def _zeros(self) -> list[EndpointStats]:
        return [EndpointStats(e.name, e.subject, e.queue_group) for e in self._description.endpoints]
