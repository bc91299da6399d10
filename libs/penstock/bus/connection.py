"""One connection to the broker: publish, subscribe, request, and the watchdog that keeps `connected` true."""

import asyncio
import logging
import os
import random
import re
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nats.errors import Error as NatsError

from penstock.bus.config import BusConfig
from penstock.bus.lean import Deliver, LeanClient, supported
from penstock.bus.message import Message
from penstock.bus.nkey import check_seed
from penstock.bus.wheel import Wheel
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id, token
from penstock.contracts.subjects import INBOX, TENANT_INBOX

_log = logging.getLogger("penstock.bus")

HEADROOM_BYTES = 4096
"""Kept free below the broker's payload limit, which counts subject-independent protocol bytes and headers too."""
ANSWERED_S = 1.5
"""Whoever is refused within this was answered: a broker waits longer for an answer before it refuses by itself."""


class Subscription:
    """A subscription that the client makes anew after a reconnect. Close it when nobody listens any more."""

    def __init__(self, connection: "Connection", client: LeanClient, sid: int) -> None:
        self._connection = connection
        self._client = client
        self._sid = sid

    async def close(self) -> None:
        """Ends it; what was on its way is dropped. Harmless when it has ended, or while the broker is away."""
        self._leave()
        self._client.direct.pop(self._sid, None)

    async def drain(self, timeout_s: float = 2.0) -> None:
        """Ends it, and returns when all that was on its way has been delivered; as harmless as `close`."""
        self._leave()
        if self._sid in self._client.direct:
            with suppress(Failure):
                await self._connection.round_trip(timeout_s)
        self._client.direct.pop(self._sid, None)

    def _leave(self) -> None:
        if self._client._subs.pop(self._sid, None) is not None and self._client.is_connected:
            self._client.enqueue(b"UNSUB %d\r\n" % self._sid)


class Inbox:
    """A reply subject of our own; whatever is sent to it or to a subject right below it reaches its callback."""

    __slots__ = ("_connection", "callback", "key", "subject")

    def __init__(self, connection: "Connection", key: str, callback: Deliver) -> None:
        self._connection = connection
        self.key = key
        self.subject = connection.inbox_prefix + key
        self.callback = callback

    def close(self) -> None:
        """Nothing more reaches the callback."""
        self._connection._inboxes.pop(self.key, None)


def _serialised(headers: Mapping[str, str]) -> bytes:
    lines = ["NATS/1.0"]
    for key, value in headers.items():
        if "\r" in value or "\n" in value:
            raise Failure(Code.INVALID, f"the header {key} may not hold a line break")
        lines.append(f"{key}: {value}")
    lines.append("\r\n")
    return "\r\n".join(lines).encode()


class Connection:
    """Made by `open_connection`. Callbacks run on the loop and must not block.

    Publishing raises Failure(UNAVAILABLE) while the broker is away: nothing is buffered behind the caller's back.
    """

    def __init__(self, client: LeanClient, config: BusConfig) -> None:
        self._client = client
        self.config = config
        self.instance = new_id("c")[2:]
        inbox = (
            TENANT_INBOX.at(tenant=config.tenant, connection=self.instance)
            if config.tenant
            else INBOX.at(principal=config.principal, connection=self.instance)
        )
        self.inbox_prefix = inbox + "."
        self._prefix_length = len(self.inbox_prefix)
        self._inboxes: dict[str, Inbox] = {}
        self._next_inbox = 0
        self._salt = os.urandom(4).hex()
        self.wheel = Wheel()
        self._reconnect_callbacks: list[Callable[[], None]] = []
        self._watchdog: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._healthy = True
        self.reconnects = 0
        self.last_error = ""
        self.closed = False

    @property
    def connected(self) -> bool:
        """Whether the broker answered lately."""
        return self._client.is_connected and self._healthy and not self.closed

    @property
    def payload_max_bytes(self) -> int:
        """The largest payload plus headers that one message may carry."""
        return int(self._client.max_payload) - HEADROOM_BYTES

    def publish(self, subject: str, data: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None) -> None:
        """Sends, together with the rest of this turn of the loop. Raises UNAVAILABLE, TOO_LARGE, OVERLOADED."""
        client = self._client
        if not client.is_connected:
            raise Failure(Code.UNAVAILABLE, "the broker cannot be reached")
        head = _serialised(headers) if headers else b""
        size = len(head) + len(data)
        if size > client.max_payload - HEADROOM_BYTES:
            # the broker would close the connection and with it every request that is under way
            raise Failure(Code.TOO_LARGE, f"a message of {size} bytes is above the broker's limit")
        limit = self.config.write_buffer_max_bytes
        if client._pending_data_size + client.backlog > limit and client.unsent_bytes() > limit:
            raise Failure(Code.OVERLOADED, "the broker does not keep up", retry_after_s=1.0)
        to = subject.encode()
        back = reply.encode()
        if head:
            client.enqueue(b"HPUB %b %b %d %d\r\n%b%b\r\n" % (to, back, len(head), size, head, data))
        else:
            client.enqueue(b"PUB %b %b %d\r\n%b\r\n" % (to, back, size, data))

    async def room(self, timeout_s: float) -> None:
        """Waits until what was published lately is on its way. Raises Failure OVERLOADED when it does not go."""
        client = self._client
        ends = asyncio.get_running_loop().time() + timeout_s
        while client.is_connected and client.unsent_bytes() > self.config.write_buffer_max_bytes // 4:
            if asyncio.get_running_loop().time() > ends:
                raise Failure(Code.OVERLOADED, "the broker does not keep up", retry_after_s=1.0)
            await asyncio.sleep(0.005)

    async def subscribe(self, subject: str, callback: Deliver, *, queue: str = "") -> Subscription:
        """Delivers what is published from now on to `callback`, synchronously and in order; it must not raise.

        While the broker is away it begins when that is back. Raises Failure(UNAVAILABLE) after `close`.
        """
        sid: int = self._client._sid + 1
        self._client.direct[sid] = callback
        try:
            subscription = await self._client.subscribe(subject, queue=queue, cb=_unused)
        except NatsError as error:
            self._client.direct.pop(sid, None)
            raise Failure(Code.UNAVAILABLE, "the connection to the broker is closed") from error
        waiter: asyncio.Task[None] | None = subscription._wait_for_msgs_task
        if waiter is not None:
            waiter.cancel()
        return Subscription(self, self._client, sid)

    def inbox(self, callback: Deliver) -> Inbox:
        """A fresh reply subject. The last token is unguessable enough to be the name of a request (`Inbox.key`)."""
        self._next_inbox += 1
        key = f"{self._salt}{self._next_inbox:x}"
        box = self._inboxes[key] = Inbox(self, key, callback)
        return box

    def _arrived(self, message: Message) -> None:
        key, _, _ = message.subject[self._prefix_length :].partition(".")
        box = self._inboxes.get(key)
        if box is not None:
            box.callback(message)

    async def request(
        self, subject: str, data: bytes, *, headers: Mapping[str, str] | None = None, timeout_s: float
    ) -> Message:
        """The first reply; status 503 when nobody listens. Raises Failure DEADLINE, UNAVAILABLE, TOO_LARGE."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Message] = loop.create_future()

        def arrived(message: Message) -> None:
            if not answer.done():
                answer.set_result(message)

        def late() -> None:
            if not answer.done():
                answer.set_exception(Failure(Code.DEADLINE, f"no answer within {timeout_s:g} s"))

        box = self.inbox(arrived)
        timer = self.wheel.at(loop.time() + timeout_s, late)
        try:
            self.publish(subject, data, reply=box.subject, headers=headers)
            return await answer
        finally:
            timer.cancel()
            box.close()

    def on_reconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls back after each reconnect; the result takes the callback away again."""
        self._reconnect_callbacks.append(callback)

        def remove() -> None:
            if callback in self._reconnect_callbacks:
                self._reconnect_callbacks.remove(callback)

        return remove

    async def wait_connected(self, timeout_s: float) -> bool:
        """Waits for the broker; False when it did not come in time, or never will since we were closed."""
        if self._client.is_connected:
            return True
        if self.closed:
            return False
        # nats-py tells of the loss a moment after it knows: a wait on what it said before would return at once
        self._up.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._up.wait()
        except TimeoutError:
            return False
        return True

    async def round_trip(self, timeout_s: float) -> float:
        """Seconds to the broker and back. Raises Failure(UNAVAILABLE)."""
        if not self._client.is_connected or self._client.is_closing():
            raise Failure(Code.UNAVAILABLE, "the broker cannot be reached")
        loop = asyncio.get_running_loop()
        began = loop.time()
        pong: asyncio.Future[bool] = loop.create_future()
        try:
            self._client.write_now()  # nats-py sends its ping past what waits for this turn's write
            await self._client._send_ping(pong)
            async with asyncio.timeout(timeout_s):
                await pong
        except (TimeoutError, NatsError, OSError) as error:
            raise Failure(Code.UNAVAILABLE, "the broker does not answer") from error
        return loop.time() - began

    async def close(self) -> None:
        """Sends what is buffered and closes; never raises, also while the broker is away (nats-py's drain does).

        Whoever still waits for an answer is told at once, as if its time were over.
        """
        if self.closed:
            return
        self.closed = True
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._client.is_connected:
            try:
                await self.round_trip(2.0)
            except Failure:
                _log.debug("closing without the broker's answer")
                self._client.abort()
                self._client._pending, self._client._pending_data_size = [], 0
        self._client.direct.clear()
        with suppress(NatsError, OSError):
            await self._client.close()
        self.wheel.close()

    # Called by nats-py ------------------------------------------------------------------------------------------

    async def _on_disconnected(self) -> None:
        self._up.clear()
        if not self.closed:
            _log.warning("the broker connection is lost")

    async def _on_reconnected(self) -> None:
        self.reconnects += 1
        self._healthy = True
        self._client.options["reconnect_time_wait"] = self.config.reconnect_wait_s
        self._up.set()
        _log.warning("the broker connection is back", extra={"fields": {"reconnects": self.reconnects}})
        for callback in tuple(self._reconnect_callbacks):
            callback()

    async def _on_closed(self) -> None:
        self._up.clear()

    async def _on_error(self, error: Exception) -> None:
        text = str(error)[:200] or type(error).__name__
        # a refused key is what to be told of, not the closed socket that follows it
        if "authorization" not in self.last_error.lower():
            self.last_error = text
        if "authorization" in text.lower():
            self._wait_longer()
        _log.info("broker client", extra={"fields": {"error": type(error).__name__, "detail": text}})

    def _wait_longer(self) -> None:
        """Whoever is refused comes again, but not as often as one who finds nobody: it is somebody's work each time."""
        options = self._client.options
        longer_s = options["reconnect_time_wait"] * random.uniform(1.5, 2.5)
        options["reconnect_time_wait"] = min(longer_s, max(self.config.refused_wait_s, self.config.reconnect_wait_s))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self.config.watchdog_interval_s)
            if not self._client.is_connected:
                continue
            try:
                if self._client.reader_is_dead():
                    raise Failure(Code.UNAVAILABLE, "the reader ended")
                await self.round_trip(self.config.watchdog_timeout_s)
                self._healthy = True
            except Failure as failure:
                self._healthy = False
                _log.warning("the broker is not answering, reconnecting", extra={"fields": {"why": failure.detail}})
                await self._client.force_reconnect()


async def _unused(_: object) -> None:
    """nats-py wants a coroutine; our subscriptions are delivered before it would be called."""


async def open_connection(config: BusConfig) -> Connection:
    """Connects, trying for `connect_timeout_s`; afterwards reconnects for ever. Raises Failure UNAVAILABLE, and INVALID
    for a seed file that is none."""
    token("principal", config.principal)
    if config.seed_file:
        check_seed(Path(config.seed_file))
    client = LeanClient(config.lean and supported())
    connection = Connection(client, config)
    connecting = client.connect(
        [url.strip() for url in config.url.split(",")],
        name=f"{config.principal}-{connection.instance}",
        inbox_prefix=connection.inbox_prefix.rstrip("."),
        error_cb=connection._on_error,
        disconnected_cb=connection._on_disconnected,
        reconnected_cb=connection._on_reconnected,
        closed_cb=connection._on_closed,
        allow_reconnect=True,
        max_reconnect_attempts=-1,
        max_outstanding_pings=2,
        # a broker that asks policy turns a client away after 1.8 s without an answer
        connect_timeout=3 if config.token else 2,
        **_options(config),
    )
    try:
        # nats-py tries for ever where it may reconnect
        async with asyncio.timeout(config.connect_timeout_s):
            await connecting
    except (TimeoutError, NatsError, OSError, ValueError) as error:
        why = connection.last_error or type(error).__name__
        await client.close()
        url = re.sub(r"(?<=://)[^/\s,@]+@", "", config.url)
        if config.token and "authorization" in why.lower():
            raise _turned_away(url, client.refused_after_s) from error
        raise Failure(Code.UNAVAILABLE, f"the broker at {url} cannot be reached: {why}") from error
    client.options["reconnect_time_wait"] = config.reconnect_wait_s
    connection._up.set()
    await connection.subscribe(connection.inbox_prefix + ">", connection._arrived)
    connection._watchdog = asyncio.create_task(connection._watch())
    return connection


def _turned_away(url: str, after_s: float) -> Failure:
    """A broker that asks policy says no in the same words when policy does and when it does not answer."""
    if after_s < ANSWERED_S:
        return Failure(Code.UNAUTHENTICATED, f"the broker at {url} does not take this API key")
    return Failure(Code.UNAVAILABLE, f"the broker at {url} lets nobody in: policy, which it asks, does not answer")


def _options(config: BusConfig) -> dict[str, Any]:
    # nats-py declares whole seconds and takes fractions
    options: dict[str, Any] = {
        "reconnect_time_wait": config.reconnect_wait_s,
        "ping_interval": config.ping_interval_s,
    }
    if config.seed_file:
        options["nkeys_seed"] = config.seed_file
    if config.token:
        options["token"] = config.token
    if config.tls_ca_file:
        options["tls"] = ssl.create_default_context(cafile=config.tls_ca_file)
    return options
