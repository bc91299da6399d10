"""JetStream over one Connection: stored publishes, batched reads, and the API's errors as Failures."""

import asyncio
import base64
from collections.abc import Mapping
from datetime import datetime
from typing import TypeVar

import msgspec

from penstock.bus.codec import encode
from penstock.bus.connection import Connection
from penstock.bus.limits import JetStreamLimits
from penstock.bus.message import Message
from penstock.bus.patience import Patience
from penstock.contracts.errors import Code, Failure

MESSAGE_ID = "Nats-Msg-Id"
EXPECTED_SUBJECT_SEQUENCE = "Nats-Expected-Last-Subject-Sequence"

_NOT_FOUND = 10037
_WRONG_LAST_SEQUENCE = frozenset({10071, 10164})
_TOO_LARGE = frozenset({10054, 10139})
_MISSING = frozenset({10059, 10014})
_STORE_FAILED = 10077

Answer = TypeVar("Answer")


class ApiError(msgspec.Struct, frozen=True):
    """The `error` object of every JetStream answer."""

    code: int = 0
    err_code: int = 0
    description: str = ""


class Acknowledged(msgspec.Struct, frozen=True):
    """A stream's answer to a publish; `duplicate`: this message id was stored before, at `seq`."""

    seq: int = 0
    duplicate: bool = False
    error: ApiError | None = None


class _Errors(msgspec.Struct, frozen=True):
    error: ApiError | None = None


class _ApiMessage(msgspec.Struct, frozen=True):
    subject: str
    seq: int
    time: str
    data: bytes = b""
    hdrs: str = ""


class _Got(msgspec.Struct, frozen=True):
    message: _ApiMessage


class Refused(Failure):
    """JetStream's own refusal, as one of our codes. `number` is its err_code."""

    def __init__(self, error: ApiError, what: str) -> None:
        self.number = error.err_code
        self.full = error.err_code == _STORE_FAILED and error.description.startswith("maximum")
        super().__init__(_code(error, self.full), _sentence(error, what, self.full))

    @property
    def wrong_sequence(self) -> bool:
        """Somebody wrote since, or our own earlier try did."""
        return self.number in _WRONG_LAST_SEQUENCE


def _code(error: ApiError, full: bool) -> Code:
    if error.err_code in _WRONG_LAST_SEQUENCE:
        return Code.CONFLICT
    if error.err_code in _TOO_LARGE:
        return Code.TOO_LARGE
    if error.err_code == _NOT_FOUND:
        return Code.NOT_FOUND
    if full or error.code == 429:
        return Code.OVERLOADED
    if error.code == 503 or error.err_code in _MISSING:
        return Code.UNAVAILABLE
    return Code.INTERNAL


def _sentence(error: ApiError, what: str, full: bool) -> str:
    if full:
        return f"{what} is full: {error.description}"
    if error.err_code in _MISSING:
        return f"{what}: {error.description}; the set-up has not been run"
    return f"{what}: {error.description} ({error.err_code})"


class Record:
    """One stored message: its place, when it was stored (Unix seconds), and the message itself."""

    __slots__ = ("message", "sequence", "subject", "time")

    def __init__(self, subject: str, sequence: int, time: float, message: Message) -> None:
        self.subject = subject
        self.sequence = sequence
        self.time = time
        self.message = message

    @property
    def data(self) -> bytes:
        """The body as it was stored."""
        return self.message.data

    @property
    def headers(self) -> dict[str, str]:
        """Its own headers; JetStream's about it are among them after a direct read."""
        return self.message.headers


class _Page:
    """Collects the answers to one batched read; the last one has a status."""

    def __init__(self, patience_s: float) -> None:
        loop = asyncio.get_running_loop()
        self.messages: list[Message] = []
        self.end: asyncio.Future[Message | None] = loop.create_future()
        self._patience_s = patience_s
        self._heard = loop.time()
        self._timer = loop.call_later(patience_s, self._look)

    def arrived(self, message: Message) -> None:
        self._heard = asyncio.get_running_loop().time()
        if message.raw and message.status:
            if not self.end.done():
                self.end.set_result(message)
        else:
            self.messages.append(message)

    def _look(self) -> None:
        """One timer for the whole page: ends it when nothing came for as long as one try may take."""
        loop = asyncio.get_running_loop()
        silent_s = loop.time() - self._heard
        if silent_s < self._patience_s:
            self._timer = loop.call_later(self._patience_s - silent_s, self._look)
        elif not self.end.done():
            self.end.set_result(None)

    def cut(self) -> None:
        """The connection was lost in the middle: what has come so far is what there is."""
        if not self.end.done():
            self.end.set_result(None)

    def close(self) -> None:
        self._timer.cancel()


class JetStream:
    """What the verbs have in common."""

    def __init__(self, connection: Connection, limits: JetStreamLimits | None = None) -> None:
        self.connection = connection
        self.limits = limits or JetStreamLimits()

    def patience(self, budget_s: float | None = None) -> Patience:
        """A new budget of tries; without a number the configured one."""
        return Patience(self.connection, self.limits, self.limits.budget_s if budget_s is None else budget_s)

    async def publish(self, subject: str, data: bytes, headers: Mapping[str, str], timeout_s: float) -> Acknowledged:
        """One try. Raises Refused, and Failure UNAVAILABLE (surely not stored) or DEADLINE (perhaps stored)."""
        message = await self.connection.request(subject, data, headers=headers, timeout_s=timeout_s)
        if message.status == "503":
            raise Failure(Code.UNAVAILABLE, f"no stream takes {subject}", retry_after_s=1.0)
        answer = _read(Acknowledged, message.data)
        if answer.error is not None:
            raise Refused(answer.error, f"the stream of {subject}")
        return answer

    async def store(
        self, subject: str, data: bytes, headers: dict[str, str], message_id: str, budget_s: float | None = None
    ) -> Acknowledged:
        """Tries with one message id until it is stored. A full stream is refused at once (OVERLOADED)."""
        patience = self.patience(budget_s)
        headers = {**headers, MESSAGE_ID: message_id}
        while True:
            try:
                return await self.publish(subject, data, headers, patience.attempt_s)
            except Refused as refused:
                if refused.full:
                    raise
                await patience.after(refused)
            except Failure as failure:
                await patience.after(failure)

    async def ask(self, verb: str, body: object, kind: type[Answer], what: str) -> Answer:
        """One request to `$JS.API.<verb>`. Raises Refused, and Failure UNAVAILABLE or DEADLINE."""
        message = await self.connection.request(f"$JS.API.{verb}", encode(body), timeout_s=self.limits.attempt_s)
        if message.status == "503":
            raise Failure(Code.UNAVAILABLE, "the broker has no JetStream", retry_after_s=1.0)
        error = _read(_Errors, message.data).error
        if error is not None:
            raise Refused(error, what)
        return _read(kind, message.data)

    async def last(self, stream: str, subject: str, patience: Patience | None = None) -> Record | None:
        """The last message on `subject` as the stream's leader knows it: never stale."""
        patience = patience or self.patience()
        while True:
            try:
                got = await self.ask(f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject}, _Got, f"stream {stream}")
            except Failure as failure:
                if failure.code is Code.NOT_FOUND:
                    return None
                await patience.after(failure)
            else:
                return _record_of_leader(got.message)

    async def latest(self, stream: str, subject: str) -> Record | None:
        """The last message on `subject` from any replica: fast, and perhaps a moment behind the leader."""
        patience = self.patience()
        while True:
            try:
                message = await self.connection.request(
                    f"$JS.API.DIRECT.GET.{stream}.{subject}", b"", timeout_s=patience.attempt_s
                )
            except Failure as failure:
                await patience.after(failure)
                continue
            if message.status == "404":
                return None
            if not message.status:
                return record_of(message)
            await patience.after(_no_answer(stream, message))

    async def read(self, stream: str, filter: str, *, after: int = 0, limit: int, up_to: int = 0) -> list[Record]:
        """Messages after sequence `after`, in order, at most `limit`, none beyond `up_to` (0: to the end)."""
        records: list[Record] = []
        patience = self.patience()
        while len(records) < limit:
            page, more = await self._page(stream, filter, after, limit - len(records), patience)
            for message in page:
                record = record_of(message)
                if up_to and record.sequence > up_to:
                    return records
                records.append(record)
                after = record.sequence
            if not more:
                break
            if page:
                patience = self.patience()
        return records

    async def _page(
        self, stream: str, filter: str, after: int, limit: int, patience: Patience
    ) -> tuple[list[Message], bool]:
        """One batched read, and whether there is more. A page that was cut off is simply short."""
        ask = {
            "seq": after + 1,
            "next_by_subj": filter,
            "batch": min(limit, self.limits.page_max_messages),
            "max_bytes": self.limits.page_max_bytes,
        }
        page = _Page(patience.attempt_s)
        box = self.connection.inbox(page.arrived)
        remove = self.connection.on_reconnect(page.cut)
        try:
            self.connection.publish(f"$JS.API.DIRECT.GET.{stream}", encode(ask), reply=box.subject)
            end = await page.end
            failure = _end_of_page(stream, end)
        except Failure as problem:
            end, failure = None, problem
        finally:
            remove()
            box.close()
            page.close()
        if failure is not None:
            if not page.messages:
                await patience.after(failure)
            return page.messages, True
        more = end is not None and end.status == "204" and end.headers.get("Nats-Num-Pending", "0") != "0"
        return page.messages, more


def _end_of_page(stream: str, end: Message | None) -> Failure | None:
    if end is None:
        return Failure(Code.UNAVAILABLE, f"stream {stream} does not answer", retry_after_s=1.0)
    if end.status in ("204", "404"):
        return None
    return _no_answer(stream, end)


def _no_answer(stream: str, message: Message) -> Failure:
    if message.status == "503":
        return Failure(Code.UNAVAILABLE, f"stream {stream} does not answer", retry_after_s=1.0)
    return Failure(Code.INTERNAL, f"stream {stream}: {message.status} {message.description}")


def _read(kind: type[Answer], data: bytes) -> Answer:
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError as error:
        raise Failure(Code.INTERNAL, "an answer of JetStream cannot be read") from error


def seconds(time: str) -> float:
    """RFC 3339 as JetStream writes it, in Unix seconds."""
    return datetime.fromisoformat(time).timestamp()


def record_of(message: Message) -> Record:
    """A direct read's answer: the stored message's own headers, and JetStream's about it."""
    headers = message.headers
    return Record(headers["Nats-Subject"], int(headers["Nats-Sequence"]), seconds(headers["Nats-Time-Stamp"]), message)


def _record_of_leader(got: _ApiMessage) -> Record:
    message = Message(got.subject, "", got.data, base64.b64decode(got.hdrs))
    return Record(got.subject, got.seq, seconds(got.time), message)
