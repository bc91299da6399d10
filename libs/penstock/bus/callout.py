"""The broker's auth callout: whoever is no user of its configuration is let in or turned away by what we answer.

It has a connection of its own, as a user of the broker's system account, where no service and no tenant is. That user
may hear the questions, answer each once, list the connections of our account and end one: nothing else.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import msgspec

from penstock.bus.callout_jwt import Knock, Pass, let_in, read_question, turn_away
from penstock.bus.callout_keys import CalloutKeys
from penstock.bus.config import BusConfig
from penstock.bus.connection import Connection, open_connection
from penstock.bus.message import Message
from penstock.bus.permissions import ACCOUNT, CALLOUT, CALLOUT_LIST, CALLOUT_QUESTIONS, kick_subject
from penstock.contracts.errors import Code, Failure

_log = logging.getLogger("penstock.bus")

SEALED_FOR = "Nats-Server-Xkey"
PAGE_MAX = 500
SILENCE_S = 0.3
"""Servers of a cluster answer each for itself: after so long without one more answer there is none."""

Decide = Callable[[Knock], Awaitable[Pass]]


class Guest(msgspec.Struct, frozen=True):
    """A connection that is open now. `name` is that of its Pass; an nkey (U…) for users of the configuration.

    A server counts its connections up: the one with the higher number came later.
    """

    name: str
    server: str
    connection: int
    subscriptions: int


class _Connection(msgspec.Struct):
    cid: int
    authorized_user: str = ""
    subscriptions: int = 0


class _Page(msgspec.Struct):
    server_id: str
    total: int = 0
    offset: int = 0
    connections: list[_Connection] = []


class _Listed(msgspec.Struct):
    data: _Page


class Callout:
    """Made by `Callout.open`. `undecided` counts questions that were dropped, since too many were being answered."""

    def __init__(self, connection: Connection, keys: CalloutKeys, decide: Decide, in_flight_max: int) -> None:
        self._connection = connection
        self._keys = keys
        self._decide = decide
        self._in_flight_max = in_flight_max
        self._tasks: set[asyncio.Task[None]] = set()
        self.undecided = 0

    @classmethod
    async def open(cls, config: BusConfig, keys: CalloutKeys, decide: Decide, *, in_flight_max: int) -> "Callout":
        """Connects, and answers from now on, in a group with others who do. `config` says how to reach the broker.

        `decide` raises Failure to turn a client away. Raises Failure(UNAVAILABLE).
        """
        own = msgspec.structs.replace(config, principal=CALLOUT, tenant="", seed_file=keys.user_seed_file)
        connection = await open_connection(own)
        callout = cls(connection, keys, decide, in_flight_max)
        await connection.subscribe(CALLOUT_QUESTIONS, callout._asked, queue=CALLOUT)
        try:
            await connection.round_trip(own.connect_timeout_s)
        except Failure:
            await connection.close()
            raise
        return callout

    @property
    def connected(self) -> bool:
        """Whether the broker answered lately."""
        return self._connection.connected

    async def close(self) -> None:
        """Answers no more. Never raises."""
        for task in tuple(self._tasks):
            task.cancel()
        await self._connection.close()

    async def guests(self, timeout_s: float = 5.0, page_max: int = PAGE_MAX) -> list[Guest]:
        """Every connection of our account, on every server that answers. Raises Failure(UNAVAILABLE) if none does."""
        found: list[Guest] = []
        offset, more = 0, True
        while more:
            pages = await self._pages(offset, timeout_s, page_max)
            if not pages and not offset:
                raise Failure(Code.UNAVAILABLE, "the broker does not list its connections")
            for page in pages:
                found += [
                    Guest(one.authorized_user, page.server_id, one.cid, one.subscriptions) for one in page.connections
                ]
            offset += page_max
            more = any(page.total > offset for page in pages)
        return found

    async def show_out(self, guest: Guest, timeout_s: float = 2.0) -> None:
        """Ends one connection; one that is gone already is no error. Raises Failure UNAVAILABLE, DEADLINE."""
        order = msgspec.json.encode({"cid": guest.connection})
        await self._connection.request(kick_subject(guest.server), order, timeout_s=timeout_s)

    async def _pages(self, offset: int, timeout_s: float, page_max: int) -> list[_Page]:
        pages: list[_Page] = []
        heard = asyncio.Event()

        def arrived(message: Message) -> None:
            try:
                pages.append(msgspec.json.decode(message.data, type=_Listed).data)
            except msgspec.DecodeError:
                _log.warning("a broker lists its connections in a way that cannot be read")
            heard.set()

        box = self._connection.inbox(arrived)
        try:
            ask = msgspec.json.encode({"auth": True, "limit": page_max, "offset": offset})
            self._connection.publish(CALLOUT_LIST, ask, reply=box.subject)
            patience_s = timeout_s
            while True:
                heard.clear()
                async with asyncio.timeout(patience_s):
                    await heard.wait()
                patience_s = SILENCE_S
        except TimeoutError:
            return pages
        finally:
            box.close()

    def _asked(self, message: Message) -> None:
        if len(self._tasks) >= self._in_flight_max:
            self.undecided += 1  # the broker turns the client away when its own time is over, and it comes again
            return
        task = asyncio.create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Failure):
            _log.warning("callout", extra={"fields": {"why": error.detail}})
        elif error is not None:
            # without its words: they might repeat what the client gave
            _log.error("callout failed", extra={"fields": {"error": type(error).__name__}})

    async def _answer(self, message: Message) -> None:
        server_curve = message.headers.get(SEALED_FOR, "")
        if not server_curve:
            raise Failure(Code.INVALID, "a question that is not sealed is not answered: the broker needs our curve key")
        knock = read_question(self._keys.curve.open(message.data, server_curve), time.time())
        issuer = self._keys.issuer
        try:
            allowed = await self._decide(knock)
        except Failure as failure:
            answer = turn_away(issuer, knock, failure.code.value, time.time())
        else:
            answer = let_in(issuer, knock, allowed, ACCOUNT, time.time())
        self._connection.publish(message.reply, self._keys.curve.seal(answer, server_curve))
