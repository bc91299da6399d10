"""A continuous pull from a durable consumer: asks for as many messages as there are free slots, notices a broker that
fell silent, and keeps what is held from being given to somebody else.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from penstock.bus.codec import encode
from penstock.bus.connection import Subscription
from penstock.bus.jetstream import JetStream, Record
from penstock.bus.message import Message
from penstock.contracts.endpoint import Consumer
from penstock.contracts.errors import Failure
from penstock.contracts.subjects import INBOX

_log = logging.getLogger("penstock.bus")

_ACK_PREFIX = "$JS.ACK."
_NANOSECONDS = 1_000_000_000
_TROUBLE_FIRST_S = 0.1
_TROUBLE_LAST_S = 5.0


class Delivery(Record):
    """One message as the consumer gave it to us, until it is settled."""

    __slots__ = ("deliveries", "held_since")

    def __init__(self, message: Message, now: float) -> None:
        # $JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<...>.<time>.<pending>, or with domain and account first
        words = message.reply.split(".")
        at = 4 if len(words) == 9 else 6
        super().__init__(message.subject, int(words[at + 1]), int(words[at + 3]) / _NANOSECONDS, message)
        self.deliveries = int(words[at])
        self.held_since = now


class Pull:
    """At most `slots` messages are held or asked for at any time; `deliver` is called on the loop for each.

    Everything delivered is held, and kept as ours by in-progress signs, until `ack`, `nak` or `term`.
    A message that comes again while we hold it is not delivered twice: `again` is told.
    """

    def __init__(
        self,
        jetstream: JetStream,
        consumer: Consumer,
        slots: int,
        deliver: Callable[[Delivery], None],
        *,
        again: Callable[[Delivery], None] | None = None,
        interrupted: Callable[[], None] | None = None,
    ) -> None:
        self._connection = jetstream.connection
        self._limits = jetstream.limits
        self._consumer = consumer
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{consumer.store.name}.{consumer.name}"
        self._slots = slots
        self._deliver = deliver
        self._again = again
        self._interrupted = interrupted
        self._held: dict[int, Delivery] = {}
        self._asked = 0
        self._round = 0
        self._due = False
        self._paused = False
        self._pause_s = _TROUBLE_FIRST_S
        self._unsent: list[tuple[str, bytes]] = []
        self._subscription: Subscription | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._remove: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._prefix = ""

    @property
    def held(self) -> int:
        """Delivered and not settled."""
        return len(self._held)

    async def start(self) -> None:
        """Begins. The consumer need not be there yet: it is asked again until it is."""
        # a tree of its own: what is pulled keeps its own subject, so the connection's inbox could not tell whose it is
        connection = self._connection
        tree = INBOX.at(principal=connection.config.principal, connection=f"{connection.instance}-pull")
        box = connection.inbox(self._arrived)
        box.close()
        self._prefix = f"{tree}.{box.key}."
        self._subscription = await connection.subscribe(f"{self._prefix}>", self._arrived)
        self._remove = connection.on_reconnect(self._reconnected)
        self._every("heartbeat", self._limits.pull_heartbeat_s, self._listen_for_life)
        self._every("progress", self._consumer.ack_wait_s / 3, self._keep)
        self._pull()

    async def stop(self) -> None:
        """Asks for no more. What is held is kept as ours until it is settled, or `close`."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            await subscription.drain()

    def close(self) -> None:
        """After `stop`: signs no more. What is still held is given to somebody when its time is out."""
        for timer in self._timers.values():
            timer.cancel()
        if self._remove is not None:
            self._remove()
        self._held.clear()

    # Settling ---------------------------------------------------------------------------------------------------

    def ack(self, delivery: Delivery) -> None:
        """Done. The signs of many go out in one write."""
        self._settle(delivery, b"+ACK")

    def nak(self, delivery: Delivery, delay_s: float = 0.0) -> None:
        """Give it to somebody again, after `delay_s`."""
        nanoseconds = int(delay_s * _NANOSECONDS)
        self._settle(delivery, b'-NAK {"delay": %d}' % nanoseconds if nanoseconds > 0 else b"-NAK")

    def term(self, delivery: Delivery, reason: str = "") -> None:
        """Never give it to anybody again."""
        words = reason.replace("\r", " ").replace("\n", " ")[:200]
        self._settle(delivery, f"+TERM {words}".strip().encode())

    def give_back(self) -> None:
        """All that is held, to whoever asks next."""
        for delivery in tuple(self._held.values()):
            self.nak(delivery)

    def _settle(self, delivery: Delivery, sign: bytes) -> None:
        if self._held.get(delivery.sequence) is not delivery:
            return
        del self._held[delivery.sequence]
        self._send(delivery.message.reply, sign)
        self._pull_soon()

    def _send(self, reply: str, sign: bytes) -> None:
        try:
            self._connection.publish(reply, sign)
        except Failure:
            # valid after a reconnect too: a consumer knows its signs by sequence, not by connection
            self._unsent.append((reply, sign))

    # Asking -----------------------------------------------------------------------------------------------------

    def _pull_soon(self) -> None:
        if not self._due and self._subscription is not None:
            self._due = True
            self._loop.call_soon(self._pull)

    def _pull(self) -> None:
        self._due = False
        free = self._slots - len(self._held) - self._asked
        if self._subscription is None or free <= 0 or self._paused:
            return
        if self._asked and free * 2 < self._slots:
            return
        ask = {
            "batch": free,
            "expires": int(self._limits.pull_expires_s * _NANOSECONDS),
            "idle_heartbeat": int(self._limits.pull_heartbeat_s * _NANOSECONDS),
        }
        with suppress(Failure):  # the broker is away: the reconnect asks again
            self._connection.publish(self._subject, encode(ask), reply=f"{self._prefix}{self._round}.{free}")
            self._asked += free
            self._heard = self._loop.time()

    def _arrived(self, message: Message) -> None:
        self._heard = self._loop.time()
        if not message.reply.startswith(_ACK_PREFIX):
            self._status(message)
            return
        self._asked = max(0, self._asked - 1)
        self._pause_s = _TROUBLE_FIRST_S
        delivery = Delivery(message, self._heard)
        held = self._held.get(delivery.sequence)
        if held is not None:
            # its time ran out while we hold it, in an outage; the newer delivery is the one to settle
            held.message, held.deliveries = message, delivery.deliveries
            if self._again is not None:
                self._again(held)
        else:
            self._held[delivery.sequence] = delivery
            self._deliver(delivery)
        if not self._asked:
            self._pull_soon()

    def _status(self, message: Message) -> None:
        if message.status == "100" or not message.subject.startswith(self._prefix):
            return
        round_, _, batch = message.subject[len(self._prefix) :].partition(".")
        if round_ == str(self._round):
            rest = message.headers.get("Nats-Pending-Messages", batch)
            self._asked = max(0, self._asked - int(rest))
        if message.status in ("404", "408"):
            self._pull_soon()
        else:
            self._troubled(f"{message.status} {message.description}".strip())

    def _troubled(self, what: str) -> None:
        """No such consumer (yet), a new leader, a server that goes: ask again, with growing pauses."""
        if self._paused:
            return
        self._paused = True
        fields = {"stream": self._consumer.store.name, "consumer": self._consumer.name, "answer": what}
        _log.warning("a pull was refused", extra={"fields": fields})
        self._timers["trouble"] = self._loop.call_later(self._pause_s, self._ask_anew)
        self._pause_s = min(self._pause_s * 2, _TROUBLE_LAST_S)

    def _ask_anew(self) -> None:
        """Forgets what was asked for; late statuses of the old round do not count, late messages are welcome."""
        self._paused = False
        self._round += 1
        self._asked = 0
        self._pull()

    # Upkeep -----------------------------------------------------------------------------------------------------

    def _every(self, name: str, interval_s: float, action: Callable[[], None]) -> None:
        def turn() -> None:
            self._timers[name] = self._loop.call_later(interval_s, turn)
            action()

        self._timers[name] = self._loop.call_later(interval_s, turn)

    def _listen_for_life(self) -> None:
        silent_s = self._loop.time() - self._heard
        if self._subscription is None or not self._asked or silent_s < 2 * self._limits.pull_heartbeat_s:
            return
        self._interruption()

    def _keep(self) -> None:
        """Says of everything that we have held for a while that it is still in progress."""
        young = self._loop.time() - self._consumer.ack_wait_s / 6
        for delivery in self._held.values():
            if delivery.held_since <= young:
                with suppress(Failure):
                    self._connection.publish(delivery.message.reply, b"+WPI")

    def _reconnected(self) -> None:
        unsent, self._unsent = self._unsent, []
        for reply, sign in unsent:
            self._send(reply, sign)
        self._keep()
        if self._subscription is not None:
            self._interruption()

    def _interruption(self) -> None:
        if self._interrupted is not None:
            self._interrupted()
        self._ask_anew()
