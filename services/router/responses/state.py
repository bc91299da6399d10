"""Responses that can be continued, whoever answered them: kept in the shared store, for the user who asked.

A response is one record: what was asked, what was answered, and the ids of those before it, so that a long conversation
is not stored again with each of its turns. It is there on every replica as soon as `save` returns.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.kit.clock import Clock
from penstock.kit.store import Script, Store
from services.router.protocols.openai_responses.body import ResponsesBody, not_found
from services.router.protocols.openai_responses.history import Segment
from services.router.protocols.openai_responses.reading import present
from services.router.responses.record import Record, item_ids, output_of, pack, unpack

Made = TypeVar("Made")

THREAD_ABOVE_BYTES = 128 * 1024
"""Larger records are packed and unpacked off the event loop."""
OVERHEAD_BYTES = 512
"""What a record takes besides itself, and each of its items."""
_FOLDER = Path(__file__).parent
_KEEP = Script((_FOLDER / "keep.lua").read_text(encoding="utf-8"))
_LOAD = Script((_FOLDER / "load.lua").read_text(encoding="utf-8"))
_FORGET = Script((_FOLDER / "forget.lua").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class StateLimits:
    """keep_s: since a response was last made or continued. tenant_max_bytes: records of one tenant, as they are packed;
    what ends soonest makes room. history_max_bytes, turns_max: of one conversation, unpacked."""

    keep_s: float = 30 * 24 * 3600.0
    tenant_max_bytes: int = 64 * 1024 * 1024
    history_max_bytes: int = 16 * 1024 * 1024
    turns_max: int = 1_000


class ResponsesState:
    """All methods raise Failure(UNAVAILABLE) when the store cannot be reached. Nobody finds what another tenant or
    another user of the tenant has stored: it is not there."""

    def __init__(self, store: Store, clock: Clock, limits: StateLimits) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits

    async def continued(self, tenant: str, subject: str, body: ResponsesBody) -> ResponsesBody:
        """The request with all that it refers to. Raises Failure(NOT_FOUND, TOO_LARGE)."""
        previous, references = body.previous, body.references
        segments: Sequence[Segment] = ()
        if previous:
            segments = await self.load(tenant, subject, previous)
        found = await self.items(tenant, subject, references) if references else {}
        if not segments and not found:
            return body
        whole = await _off_loop(_size(segments, body), lambda: body.continued(segments, found))
        if whole.stores:
            self._check_size(whole)
        return whole

    async def load(self, tenant: str, subject: str, response: str) -> tuple[Segment, ...]:
        """The conversation up to and with this response; each of its turns is kept for as long again.

        Raises Failure(NOT_FOUND) in OpenAI's words, also where a turn before it was deleted.
        """
        head = await self._record(tenant, subject, response)
        if head is None:
            raise not_found(response)
        ids = [*head.before, response]
        keys = [_key(tenant, subject, each) for each in ids]
        packed = await self._store.run(_LOAD, [_index(tenant), *keys], [self._keep_ms, self._ends_ms])
        if not isinstance(packed, list) or not all(isinstance(each, bytes) for each in packed):
            raise not_found(response)
        records = await _off_loop(sum(map(len, packed)), lambda: [unpack(each) for each in packed])
        segments = []
        for each, record in zip(ids, records, strict=True):
            if record is None:
                raise not_found(response)
            segments.append(Segment(each, record.endpoint, tuple(record.input), output_of(record)))
        return tuple(segments)

    async def items(self, tenant: str, subject: str, ids: Sequence[str]) -> dict[str, Segment]:
        """Stored output items by id, each alone; what is not there is left out."""
        names = list(dict.fromkeys(ids))[: self._limits.turns_max]
        found = await self._store.do("MGET", *[_pointer(tenant, subject, name) for name in names])
        owners = [each.decode() if isinstance(each, bytes) else "" for each in found] if isinstance(found, list) else []
        stored: dict[str, Segment] = {}
        for owner in dict.fromkeys(filter(None, owners)):
            record = await self._record(tenant, subject, owner)
            if record is None:
                continue
            for name, item in item_ids(record):
                stored[name] = Segment(owner, record.endpoint, (), (item,))
        return {name: stored[name] for name in names if name in stored}

    async def save(self, tenant: str, subject: str, body: ResponsesBody, response: bytes, endpoint: str) -> None:
        """Keeps the answer and what it answered, unless the caller said `store: false`. The same again changes nothing.

        `response`: the Response object as the caller sees it; `endpoint`: where it was minted. Raises
        Failure(TOO_LARGE): a request that continues nothing may be as large as it likes, but not be kept.
        """
        if not body.stores:
            return
        record = Record(msgspec.Raw(response), body.resolved, [one.response for one in body.history], endpoint)
        size = len(response) + sum(len(memoryview(item)) for item in record.input)
        if size > self._limits.history_max_bytes:
            raise _too_large(f"a stored conversation holds at most {self._limits.history_max_bytes} bytes")
        packed = await _off_loop(size, lambda: pack(record))
        identity = record.identity
        if not identity:
            return
        names = [name for name, _ in item_ids(record)]
        key = _key(tenant, subject, identity)
        takes = len(packed) + OVERHEAD_BYTES * (1 + len(names))
        keys = [_index(tenant), _sizes(tenant), key, *[_pointer(tenant, subject, name) for name in names]]
        arguments = (packed, takes, self._keep_ms, self._ends_ms, self._now_ms, self._limits.tenant_max_bytes, identity)
        if await self._store.run(_KEEP, keys, arguments) == 0:
            raise _too_large("the response takes more than all that a tenant may store")

    async def get(self, tenant: str, subject: str, response: str) -> bytes:
        """The Response object. Raises Failure(NOT_FOUND)."""
        record = await self._record(tenant, subject, response)
        if record is None:
            raise _missing(response)
        return bytes(record.response)

    async def delete(self, tenant: str, subject: str, response: str) -> None:
        """With what it answered: conversations that it is part of end here. Raises Failure(NOT_FOUND)."""
        record = await self._record(tenant, subject, response)
        if record is None:
            raise _missing(response)
        names = [_pointer(tenant, subject, name) for name, _ in item_ids(record)]
        await self._store.run(_FORGET, [_index(tenant), _sizes(tenant), _key(tenant, subject, response), *names], [])

    def _check_size(self, body: ResponsesBody) -> None:
        """Before anybody is paid for an answer that cannot be kept."""
        limits = self._limits
        if len(body.history) >= limits.turns_max:
            raise _too_large(f"a stored conversation is at most {limits.turns_max} responses long; say store: false")
        if _size(body.history, body) > limits.history_max_bytes:
            raise _too_large(f"a stored conversation holds at most {limits.history_max_bytes} bytes; say store: false")

    async def _record(self, tenant: str, subject: str, response: str) -> Record | None:
        packed = await self._store.do("GET", _key(tenant, subject, response))
        if not isinstance(packed, bytes):
            return None
        return await _off_loop(len(packed), lambda: unpack(packed))

    @property
    def _keep_ms(self) -> int:
        return int(self._limits.keep_s * 1000)

    @property
    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)

    @property
    def _ends_ms(self) -> int:
        return self._now_ms + self._keep_ms


def _size(segments: Sequence[Segment], body: ResponsesBody) -> int:
    """Of all items, in bytes."""
    given = present(body.fields, "input")
    own = 0 if given is None else len(memoryview(given))
    return own + sum(len(memoryview(item)) for segment in segments for item in segment.items)


def _too_large(detail: str) -> Failure:
    return Failure(Code.TOO_LARGE, detail, param="previous_response_id")


async def _off_loop(size: int, make: Callable[[], Made]) -> Made:
    return await asyncio.to_thread(make) if size > THREAD_ABOVE_BYTES else make()


def _missing(response: str) -> Failure:
    """In OpenAI's words."""
    return Failure(Code.NOT_FOUND, f"Response with id '{response[:80]}' not found.", param="response_id")


def _key(tenant: str, subject: str, response: str) -> str:
    return _of(tenant, "response", subject, response)


def _pointer(tenant: str, subject: str, item: str) -> str:
    """Where it stands which response an item is of."""
    return _of(tenant, "item", subject, item)


def _of(tenant: str, kind: str, subject: str, id: str) -> str:
    """Ids are the callers' and the providers' own texts: as a digest they are of one length, and part of no name."""
    return f"{_prefix(tenant)}:{kind}:{subject}:{hashlib.sha256(id.encode(errors='surrogatepass')).hexdigest()[:40]}"


def _index(tenant: str) -> str:
    """Records of the tenant by when they end."""
    return f"{_prefix(tenant)}:index"


def _sizes(tenant: str) -> str:
    """What each of them takes, and all together."""
    return f"{_prefix(tenant)}:sizes"


def _prefix(tenant: str) -> str:
    """All keys of a tenant in one slot of a cluster."""
    return f"penstock:router:responses:{{{tenant}}}"
