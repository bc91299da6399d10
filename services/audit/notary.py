"""Brings the stream into the log, in order and whole, and has a checkpoint signed about once a second.

Before anything is signed, what the log holds beyond its last signed message is compared with the stream: a log that
says something else is not continued.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from penstock.bus import Stored
from penstock.contracts.errors import Code, Failure
from penstock.kit.clock import Clock
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from services.audit.leaf import Message, entries, read_leaf
from services.audit.log import OutOfOrder
from services.audit.recover import LogDamaged
from services.audit.source import Source, messages_of
from services.audit.writer import Progress, Writer

Result = TypeVar("Result")


class Notary:
    """Everything that touches the log runs in one thread, one thing after the other."""

    def __init__(
        self, open_writer: Callable[[], Writer], source: Source, clock: Clock, metrics: Metrics, log: Log
    ) -> None:
        self._open_writer = open_writer
        self._source = source
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log")
        self._writer: Writer | None = None
        self._opening = asyncio.Lock()
        self._unsigned_since: float | None = None
        self._why_not = ""
        metrics.audit_checkpoint_lag_seconds.watch(self._lag_s)

    async def size(self) -> int:
        """Records in the log as it lies there. Opens it: raises Failure that says what to do."""
        return (await self._opened()).progress().size

    async def start(self) -> None:
        """Brings the log up to the stream's end. Raises Failure that says what to do."""
        await self._catch_up(await self._opened())
        self._why_not = ""

    async def take(self, batch: list[Stored[msgspec.Raw]]) -> None:
        """What the listener hands over. When it returns, all of it is on the disk; otherwise it comes again."""
        writer = await self._opened()
        messages = await self._in_thread(lambda: messages_of(batch))
        try:
            await self._append(writer, messages)
        except OutOfOrder:
            await self._catch_up(writer)
            await self._after_catching_up(writer, messages)

    async def publish_for_ever(self, every_s: float) -> None:
        """A checkpoint in each interval that brought something."""
        while True:
            await self._clock.sleep(every_s)
            await self.publish()

    async def publish(self) -> None:
        """Signs what is not signed; what fails is logged, and tried again in the next interval."""
        try:
            writer = await self._opened()
            before = writer.progress()
            progress = await self._written(writer, writer.publish)
            if progress.signed > before.signed:
                self._why_not = ""
            self._show(progress)
            self._metrics.audit_orphans.set(await self._in_thread(lambda: writer.overdue(self._clock.now())))
        except Failure as failure:
            self._log.error("no checkpoint", why=failure.detail)

    async def unsigned_entries(self, places: Sequence[int]) -> dict[int, bytes]:
        """See Writer.unsigned_entries."""
        writer = await self._opened()
        return await self._in_thread(lambda: writer.unsigned_entries(places))

    async def ready(self) -> None:
        """Raises Failure when the log cannot be written."""
        if self._why_not:
            raise Failure(Code.UNAVAILABLE, self._why_not)

    async def close(self) -> None:
        """Signs what is left and closes."""
        if self._writer is not None:
            await self.publish()
        if self._writer is not None:
            await self._in_thread(self._writer.close)
            self._writer = None
        self._thread.shutdown(wait=False)

    async def _opened(self) -> Writer:
        async with self._opening:
            if self._writer is None:
                self._writer = await self._open()
            return self._writer

    async def _open(self) -> Writer:
        try:
            writer = await self._in_thread(self._open_writer)
        except LogDamaged as error:
            raise self._failed(Code.CONFLICT, str(error)) from error
        except OSError as error:
            raise self._failed(Code.UNAVAILABLE, f"the log cannot be opened: {error}") from error
        try:
            await self._compare(writer)
        except BaseException:
            await self._in_thread(writer.close)
            raise
        if writer.repaired:
            self._log.warning("log repaired", what=writer.repaired)
        self._show(writer.progress())
        return writer

    async def _compare(self, writer: Writer) -> None:
        """Raises Failure(CONFLICT) unless the stream says what the log says since its last signed message."""
        logged = await self._in_thread(writer.unproven)
        if not logged:
            return
        at, last = read_leaf(logged[0]).sequence - 1, writer.progress().sequence
        place = 0
        while at < last:
            page = await self._source.after(at)
            if not page:
                raise self._failed(Code.CONFLICT, _older(at + 1, last))
            for message in page:
                if message.sequence > last:
                    break
                streamed = [entry.data for entry in entries(message)]
                if message.sequence != at + 1 or logged[place : place + len(streamed)] != streamed:
                    raise self._failed(Code.CONFLICT, _another(at + 1))
                place, at = place + len(streamed), message.sequence

    async def _catch_up(self, writer: Writer) -> Progress:
        """To the end of the stream. Raises Failure(CONFLICT) when the stream does not have the next message."""
        progress = writer.progress()
        while page := await self._source.after(progress.sequence):
            try:
                progress = await self._append(writer, page)
            except OutOfOrder as gap:
                raise self._failed(Code.CONFLICT, _trimmed(gap)) from gap
        return progress

    async def _after_catching_up(self, writer: Writer, messages: list[Message]) -> None:
        try:
            await self._append(writer, messages)
        except OutOfOrder as gap:  # a replica of the stream that lags gave us too few
            raise Failure(Code.UNAVAILABLE, f"the messages from {gap.after + 1} on cannot be read yet") from gap

    async def _append(self, writer: Writer, messages: list[Message]) -> Progress:
        progress = await self._written(writer, lambda: writer.append(messages))
        if self._unsigned_since is None and progress.signed < progress.size:
            self._unsigned_since = self._clock.monotonic()
        if progress.kinds:
            self._why_not = ""
        self._show(progress)
        return progress

    async def _written(self, writer: Writer, work: Callable[[], Result]) -> Result:
        """After an OSError nobody knows what is on the disk: the log is closed, and read again before it is written."""
        try:
            return await self._in_thread(work)
        except OSError as error:
            if self._writer is writer:
                self._writer = None
                await self._in_thread(writer.close)
            raise self._failed(Code.UNAVAILABLE, f"the log cannot be written: {error}") from error

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _failed(self, code: Code, why: str) -> Failure:
        self._why_not = why
        return Failure(code, why)

    def _show(self, progress: Progress) -> None:
        if progress.signed == progress.size:
            self._unsigned_since = None
        for kind, count in progress.kinds.items():
            self._metrics.audit_records.add(kind, by=count)
        self._metrics.audit_size.set(progress.size)
        self._metrics.audit_checkpoint_size.set(progress.signed)

    def _lag_s(self) -> float:
        since = self._unsigned_since
        return 0.0 if since is None else self._clock.monotonic() - since


def _older(sequence: int, last: int) -> str:
    return (
        f"The log ends at message {last}, and the audit stream has no message {sequence} and none after it: the stream"
        " was put back to an older state, or is another one. Nothing was changed. Put back the stream, or move the"
        " log's folder away (keep it: it is the only evidence of what the stream lost) and start again."
    )


def _another(sequence: int) -> str:
    return (
        f"The log and the audit stream do not say the same in message {sequence}: one of them was changed, or they do"
        " not belong together. Nothing was changed. Find out which; then put back the right one, or move the log's"
        " folder away (keep it as evidence) and start again."
    )


def _trimmed(gap: OutOfOrder) -> str:
    return (
        f"The log ends at message {gap.after} and the audit stream goes on with message {gap.sequence}: the messages"
        " between are lost. Nothing was changed. Put back a copy of the log that has them, or move the log's folder"
        " away (keep it as evidence) and start again."
    )
