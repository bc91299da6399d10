"""Stream: ordered frames with credit. The reader grants a window; the sender keeps what is not yet consumed, so that
a broker restarted in the middle costs nothing.

Subjects below the reader's inbox: `.a` accepted, `.d.<n>` frame n, `.e.<count>` end, `.f.<count>` failure. `.a` again,
while nothing else is said, is the sign of life: the first one may have been lost.
The reader writes to the sender's flow subject: `{"credit": frames in all, "resend": n?}` or `{"stop": true}`.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

import msgspec

from penstock.bus.body import Bodies
from penstock.bus.codec import decode, encode
from penstock.bus.connection import Connection, Inbox
from penstock.bus.headers import read_failure, whole_number
from penstock.bus.message import Message
from penstock.contracts.errors import Code, Failure
from penstock.contracts.subjects import CANCEL

End = TypeVar("End")

CREDIT = "Penstock-Credit"


class Accepted(msgspec.Struct, frozen=True):
    """The leading acknowledgement: who works on it, and where it hears of credit."""

    worker: str
    flow: str


class Flow(msgspec.Struct, frozen=True, omit_defaults=True):
    """`credit`: frames granted in all, from the first; `resend`: the first frame that is missing; -1: none is."""

    credit: int = 0
    resend: int = -1
    stop: bool = False


class Sender:
    """The producer's side of one stream: `accepted`, our acknowledgement, goes out at once. `left`: the reader went
    away, or was lost."""

    def __init__(self, connection: Connection, reply: str, window: int, accepted: bytes) -> None:
        self._connection = connection
        self._reply = reply
        self._accepted = accepted
        self._frame_max_bytes = connection.config.stream_frame_max_bytes
        self._window = window
        self._granted = window
        self._unconsumed: deque[bytes] = deque()
        self._first = 0
        self._credit: asyncio.Future[None] | None = None
        self._last: tuple[str, bytes] | None = None
        self._loop = asyncio.get_running_loop()
        self.sent = self._loop.time()
        self.flow_heard = self._loop.time()
        self.left = False
        self._publish("a", accepted)

    @property
    def count(self) -> int:
        """Frames so far."""
        return self._first + len(self._unconsumed)

    async def send(self, data: bytes) -> None:
        """Sends one frame (several, when it is larger than a frame may be); waits while the reader has granted none.

        One task at a time may send. What is sent after the end goes nowhere.
        """
        for start in range(0, len(data), self._frame_max_bytes):
            while (number := self._first + len(self._unconsumed)) >= self._granted and self._last is None:
                self._credit = self._loop.create_future()
                await self._credit
            if self._last is not None:
                return
            part = data[start : start + self._frame_max_bytes]
            self._unconsumed.append(part)
            self._publish(f"d.{number}", part)

    def close(self, end: bytes, failed: bool = False) -> None:
        """Sends the end, or the failure, which carries how many frames there were."""
        self._last = (f"{'f' if failed else 'e'}.{self.count}", end)
        self._publish(*self._last)
        self._awake()

    def keep_alive(self, now: float, every_s: float) -> None:
        """Says that we are still there, when nothing else was said for `every_s`."""
        if now - self.sent >= every_s:
            self._publish("a", self._accepted)

    def flow(self, message: Flow) -> None:
        """What the reader grants, and what it misses."""
        self.flow_heard = self._loop.time()
        # a reader grants no more than it has consumed and a window
        granted = min(message.credit, self.count + self._window)
        if granted > self._granted:
            self._granted = granted
            consumed = self._granted - self._window
            while self._first < consumed and self._unconsumed:
                self._unconsumed.popleft()
                self._first += 1
            self._awake()
        if message.resend >= 0:
            for number in range(max(message.resend, self._first), self.count):
                self._publish(f"d.{number}", self._unconsumed[number - self._first])
            if self._last is not None:
                self._publish(*self._last)

    def _awake(self) -> None:
        if self._credit is not None and not self._credit.done():
            self._credit.set_result(None)

    def _publish(self, kind: str, data: bytes) -> None:
        # while the broker is away the frame is kept; the reader asks for it when it is back
        with contextlib.suppress(Failure):
            self._connection.publish(f"{self._reply}.{kind}", data)
        self.sent = self._loop.time()


class StreamReader(Generic[End]):
    """The consumer's side: iterate over the frames; afterwards `end` is there. A Failure is raised from the loop.

    At most once and in order; nothing is lost or doubled within a stream that ends without a Failure.
    """

    def __init__(self, connection: Connection, bodies: Bodies, kind: type[End], who: str) -> None:
        self._connection = connection
        self._bodies = bodies
        self._kind = kind
        self._who = who
        self._window = connection.config.stream_window_frames
        self._frames: deque[bytes] = deque()
        self._next = 0
        self._consumed = 0
        self._granted = self._window
        self._flow = ""
        self._wake: asyncio.Future[None] | None = None
        self._failure: Failure | None = None
        self._end: Message | None = None
        self._total = -1
        self._asked_again = -1
        self.nobody = False
        self.heard = asyncio.get_running_loop().time()
        self.box: Inbox = connection.inbox(self._arrived)
        self.end_value: End | None = None

    @property
    def end(self) -> End:
        """The typed end; only after the loop is over."""
        if self.end_value is None:
            raise RuntimeError("the stream has not ended")
        return self.end_value

    @property
    def started(self) -> bool:
        """Whether a worker took the request."""
        return bool(self._flow)

    def fail(self, failure: Failure) -> None:
        """Ends the stream for its reader, after the frames that are already here."""
        if self._failure is None and not self._complete():
            self._failure = failure
            self._awake()

    def _complete(self) -> bool:
        return self._total >= 0 and self._next >= self._total

    def _awake(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def _arrived(self, message: Message) -> None:
        self.heard = asyncio.get_running_loop().time()
        _, _, rest = message.subject[len(self.box.subject) :].partition(".")
        kind, _, number = rest.partition(".")
        if kind == "d":
            self._frame(whole_number(number), message.data)
        elif kind == "a":
            with contextlib.suppress(msgspec.DecodeError):
                self._flow = msgspec.json.decode(message.data, type=Accepted).flow
            self._awake()
        elif kind in ("e", "f") and whole_number(number) >= 0:
            self._total = whole_number(number)
            self._end = message
            if self._complete():
                self._awake()
            else:
                self._ask_again()
        elif not kind:
            if message.status == "503":
                self.nobody = True
            else:
                # a plain reply: refused before the stream began
                self._total = self._next
                self._end = message
            self._awake()

    def _frame(self, number: int, data: bytes) -> None:
        if number == self._next:
            if len(self._frames) > self._window:
                self.fail(Failure(Code.INTERNAL, f"{self._who} sends more than it was granted"))
                return
            self._next += 1
            self._frames.append(data)
            self._awake()
        elif number > self._next:
            self._ask_again()

    def _ask_again(self) -> None:
        if self._flow and self._asked_again != self._next:
            self._asked_again = self._next
            self._tell(Flow(credit=self._granted, resend=self._next))

    def reconnected(self) -> None:
        """The broker is back: whatever was under way is asked for again."""
        self.heard = asyncio.get_running_loop().time()
        self._asked_again = -1
        self._ask_again()

    def beat(self) -> None:
        """Says that the reader is still there, with what it has granted and the first frame that it does not have."""
        if self._flow:
            self._tell(Flow(credit=self._granted, resend=self._next))

    def _tell(self, flow: Flow) -> None:
        with contextlib.suppress(Failure):
            self._connection.publish(self._flow, encode(flow))

    async def accepted(self) -> None:
        """Waits until a worker took the request, or it is known that none will. Raises the Failure."""
        while not (self._flow or self.nobody or self._failure or self._end):
            await self._sleep()
        if self._failure is not None:
            raise self._failure

    async def _sleep(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        await self._wake

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._frames:
            if self._failure is not None:
                raise self._failure
            if self._end is not None and self._complete():
                await self._finish(self._end)
                raise StopAsyncIteration
            await self._sleep()
        self._consumed += 1
        if self._consumed + self._window - self._granted >= self._window // 2:
            self._granted = self._consumed + self._window
            if self._flow and self._total < 0:
                self._tell(Flow(credit=self._granted))
        return self._frames.popleft()

    async def _finish(self, message: Message) -> None:
        plain = message.subject == self.box.subject
        if plain or message.subject.startswith(self.box.subject + ".f."):
            raise read_failure(message.data)
        self.end_value = decode(self._kind, await self._bodies.of(message))

    def close(self) -> None:
        """Ends the stream on both sides; harmless when it has ended."""
        if self._flow:
            self._tell(Flow(stop=True))
        elif not self.nobody and self._end is None:
            with contextlib.suppress(Failure):
                self._connection.publish(CANCEL.at(id=self.box.key), b"")
        self.box.close()
