"""Where answers are kept: the shared store, so that any replica finds what any has kept."""

import asyncio
from array import array
from collections.abc import Awaitable, Sequence
from math import hypot
from operator import mul
from pathlib import Path

import msgspec

from penstock.contracts.errors import Failure
from penstock.kit.clock import Clock
from penstock.kit.store import Script, Store
from services.router.cache.entry import Entry, Form, pack, unpack

FORMS: tuple[Form, ...] = ("whole", "events")
NEIGHBOURS_MAX = 256
"""Questions remembered for each surroundings; the oldest goes."""
OVERHEAD_BYTES = 2048
"""What an answer takes besides itself: its keys, and its question's meaning."""
_KEEP = Script(Path(__file__).with_name("keep.lua").read_text(encoding="utf-8"))


class _Neighbour(msgspec.Struct, array_like=True):
    """A question by its meaning, and the key of its answer."""

    key: str
    vector: bytes


class Shelf:
    """Every method gives up after `timeout_s`: a lost store costs a little time, and never an answer.

    The store holds balances too and forgets nothing by itself: the answers of one tenant take at most
    `tenant_max_bytes` together, and those that end soonest make room for new ones.
    """

    def __init__(self, store: Store, clock: Clock, *, timeout_s: float, tenant_max_bytes: int) -> None:
        self._store = store
        self._clock = clock
        self._timeout_s = timeout_s
        self._tenant_max_bytes = tenant_max_bytes

    async def find(self, tenant: str, key: str, wanted: Form) -> Entry | None:
        """In the form that is wanted, or else in the other."""
        forms = sorted(FORMS, key=lambda form: form != wanted)
        found = await self._do("MGET", *[_answer(tenant, key, form) for form in forms])
        if not isinstance(found, list):
            return None
        return next((entry for raw in found if isinstance(raw, bytes) and (entry := unpack(raw))), None)

    async def keep(self, tenant: str, key: str, entry: Entry, ttl_s: float) -> None:
        packed = pack(entry)
        keys = (_answer(tenant, key, entry.form), _of(tenant, "index"), _of(tenant, "total"))
        takes = len(packed) + OVERHEAD_BYTES
        numbers = (takes, int(ttl_s * 1000), int(self._clock.now() * 1000), self._tenant_max_bytes)
        await self._within(self._store.run(_KEEP, keys, (packed, *numbers)))

    async def nearest(self, tenant: str, surroundings: str, vector: Sequence[float]) -> tuple[float, str]:
        """The likeness (cosine) of the most similar question, and the key of its answer; 0 when there is none."""
        found = await self._do("LRANGE", _neighbours(tenant, surroundings), 0, NEIGHBOURS_MAX - 1)
        if not isinstance(found, list):
            return 0.0, ""
        # some milliseconds for all of them: not on the loop
        return await asyncio.to_thread(_nearest, [raw for raw in found if isinstance(raw, bytes)], vector)

    async def remember(self, tenant: str, surroundings: str, vector: Sequence[float], key: str, ttl_s: float) -> None:
        name = _neighbours(tenant, surroundings)
        packed = msgspec.msgpack.encode(_Neighbour(key, array("f", vector).tobytes()))
        await self._do("LPUSH", name, packed)
        await self._do("LTRIM", name, 0, NEIGHBOURS_MAX - 1)
        await self._do("PEXPIRE", name, int(ttl_s * 1000))

    async def _do(self, *command: str | bytes | int) -> object:
        return await self._within(self._store.do(*command))

    async def _within(self, answer: Awaitable[object]) -> object:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await answer
        except (Failure, TimeoutError):
            return None


def _nearest(packed: list[bytes], vector: Sequence[float]) -> tuple[float, str]:
    own = array("f", vector)
    length = hypot(*own)
    best, key = 0.0, ""
    for raw in packed:
        try:
            neighbour = msgspec.msgpack.decode(raw, type=_Neighbour)
        except msgspec.DecodeError:
            continue
        if len(neighbour.vector) != len(own) * own.itemsize:
            continue
        other = array("f", neighbour.vector)
        lengths = length * hypot(*other)
        likeness = sum(map(mul, own, other)) / lengths if lengths else 0.0
        if likeness > best:
            best, key = likeness, neighbour.key
    return best, key


def _answer(tenant: str, key: str, form: Form) -> str:
    return _of(tenant, f"{key}:{form}")


def _neighbours(tenant: str, surroundings: str) -> str:
    return _of(tenant, f"near:{surroundings}")


def _of(tenant: str, name: str) -> str:
    """All keys of a tenant in one slot of a cluster."""
    return f"penstock:router:cache:{{{tenant}}}:{name}"
