"""Streamed answers that are kept for a while, each event with a number, for readers who lost their connection."""

import asyncio
from collections.abc import Mapping

import msgspec

from penstock.bus import Bus
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.llm import CompletionEnd, KeptFrame, KeptOpening, Served
from penstock.contracts.meta import Meta
from penstock.contracts.subjects import LLM_KEPT
from penstock.kit.log import Log
from services.router.streams.holdings import Holdings
from services.router.streams.numbered import numbered

PIECE_EVERY_S = 0.2
"""Events of so long are kept as one piece: keeping each by itself would cost as much as passing it on."""
PIECE_MAX_BYTES = 256 * 1024
"""Of events in one piece. A broker takes messages of a MiB, and what is kept grows by a third in JSON."""
EVENT_MAX_BYTES = 600 * 1024
CLOSE_S = 1.0
"""How long the ends of streams may be on their way when the service stops."""


class KeptLimits(msgspec.Struct, frozen=True):
    """`streams_max` at once; `stream_max_bytes`: of each, above it the rest is not kept; `sign_s`: how often one that
    is silent says that it is alive; `tenant_max_bytes`: of all streams of one tenant, for as long as they are kept."""

    streams_max: int
    stream_max_bytes: int
    sign_s: float
    tenant_max_bytes: int


class KeptStream:
    """One answer, from its first event to its end. Nothing here waits: a piece that is lost, because the broker was
    away or the answer is too large, is missed by its number."""

    __slots__ = (
        "_alias",
        "_broken",
        "_first",
        "_keep",
        "_left_bytes",
        "_next",
        "_piece",
        "_said",
        "_size",
        "_subject",
        "_surface",
        "_tenant",
        "id",
    )

    def __init__(self, keep: "Keep", tenant: str, subject: str, alias: str, surface: str) -> None:
        self._keep = keep
        self._tenant = tenant
        self._subject = subject
        self._alias = alias
        self._surface = surface
        self._next = self._first = 1
        self._piece: list[bytes] = []
        self._size = 0
        self._said = 0.0
        self._broken = False
        self._left_bytes = keep.limits.stream_max_bytes
        self.id = ""

    @property
    def opened(self) -> bool:
        """Whether anything is kept."""
        return bool(self.id)

    @property
    def tenant(self) -> str:
        """Whose it is."""
        return self._tenant

    @property
    def tokens(self) -> Mapping[str, str]:
        """Where it is kept."""
        return {"tenant": self._tenant, "stream": self.id}

    def open(self, served: Served, obliged: tuple[str, ...] = ()) -> bool:
        """Begins to keep it; False when there is no room. `obliged`: what it is made under."""
        if not self._keep.takes(self):
            return False
        self.id = new_id("str")
        self._put(KeptFrame(0, opening=KeptOpening(self._subject, self._alias, self._surface, served, obliged)))
        return True

    def add(self, frame: bytes) -> bytes:
        """Keeps whole events; the same with their numbers."""
        if not self.opened:
            return frame
        shown, events = numbered(frame, self.id, self._next)
        self._next += len(events)
        for event in events:
            self._add(event)
        return shown

    def beat(self, now: float) -> None:
        """Keeps what has come, or gives a sign of life, when nothing was kept for a while."""
        if self._piece:
            self._flush()
        elif now - self._said >= self._keep.limits.sign_s and not self._broken:
            self._put(KeptFrame(self._next))

    def finish(self, last: CompletionEnd | Failure) -> None:
        """The end, which is stored for sure."""
        if not self.opened:
            return
        self._flush()
        if isinstance(last, Failure):
            self._keep.end(self, KeptFrame(self._next, failure=last.body()))
        else:
            self._keep.end(self, KeptFrame(self._next, end=last))

    def _add(self, event: bytes) -> None:
        if self._broken:
            return
        size = len(event)
        self._left_bytes -= size
        if self._left_bytes < 0 or size > EVENT_MAX_BYTES:
            self._break(Failure(Code.TOO_LARGE, "the answer is too large to be kept whole"))
            return
        if not self._keep.holds(self._tenant, size):
            self._break(Failure(Code.OVERLOADED, "too much of this tenant's streams is kept already"))
            return
        if self._size + size > PIECE_MAX_BYTES:
            self._flush()
        self._piece.append(event)
        self._size += size

    def _break(self, why: Failure) -> None:
        """What comes after is not kept, and whoever asks for it is told why."""
        self._flush()
        self._broken = True
        self._put(KeptFrame(self._first, failure=why.body()))

    def _flush(self) -> None:
        if self._piece:
            self._put(KeptFrame(self._first, tuple(self._piece)))
            self._first += len(self._piece)
            self._piece.clear()
            self._size = 0

    def _put(self, frame: KeptFrame) -> None:
        self._said = asyncio.get_running_loop().time()
        self._keep.put(self, frame)


class Keep:
    """All that is being kept by this process."""

    def __init__(self, bus: Bus, limits: KeptLimits, log: Log) -> None:
        self.limits = limits
        self._bus = bus
        self._log = log
        self._holdings = Holdings(limits.tenant_max_bytes, LLM_KEPT.store.max_age_s)
        self._open: set[KeptStream] = set()
        self._ending: set[asyncio.Task[None]] = set()

    def takes(self, stream: KeptStream) -> bool:
        """One more, if there is room, for its tenant too."""
        full = self._holdings.full(stream.tenant, asyncio.get_running_loop().time())
        if full or len(self._open) >= self.limits.streams_max:
            self._log.warning("a stream is not kept: there is no room", tenant=stream.tenant, for_tenant=full)
            return False
        self._open.add(stream)
        return True

    def holds(self, tenant: str, size: int) -> bool:
        """So many bytes more of this tenant's, if it may have them."""
        return self._holdings.take(tenant, size, asyncio.get_running_loop().time())

    def put(self, stream: KeptStream, frame: KeptFrame) -> None:
        """On its way to the store; nobody waits for it."""
        try:
            self._bus.emit_live(LLM_KEPT, frame, **stream.tokens)
        except Failure as failure:
            self._log.warning("a piece of a stream is not kept", stream=stream.id, number=frame.n, why=str(failure))

    def end(self, stream: KeptStream, frame: KeptFrame) -> None:
        """The last piece."""
        self._open.discard(stream)
        task = asyncio.create_task(self._end(stream, frame))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def run(self) -> None:
        """Keeps what comes, piece by piece, and says of silent streams that they are alive."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(PIECE_EVERY_S, self.limits.sign_s / 2))
            for stream in tuple(self._open):
                stream.beat(loop.time())

    async def close(self) -> None:
        """Sees the last pieces off."""
        if self._ending:
            await asyncio.wait(self._ending, timeout=CLOSE_S)
        for task in tuple(self._ending):
            task.cancel()

    async def _end(self, stream: KeptStream, frame: KeptFrame) -> None:
        try:
            await self._bus.emit(LLM_KEPT, frame, Meta(), message_id=f"{stream.id}.end", **stream.tokens)
        except Failure as failure:
            self._log.warning("the end of a stream is not kept", stream=stream.id, why=str(failure))
