"""Where answers are kept: the shared store, so that any replica finds what any has kept."""

import asyncio
from collections.abc import Sequence

import msgspec
import numpy
import numpy.typing

from penstock.contracts.errors import Failure
from penstock.kit.store import Store
from services.router.cache.entry import Entry, Form, pack, unpack

FORMS: tuple[Form, ...] = ("whole", "events")
NEIGHBOURS_MAX = 256
"""Questions remembered for each surroundings; the oldest goes."""


class _Neighbour(msgspec.Struct, array_like=True):
    """A question by its meaning, and the key of its answer."""

    key: str
    vector: bytes


class Shelf:
    """Every method gives up after `timeout_s`: a lost store costs a little time, and never an answer."""

    def __init__(self, store: Store, *, timeout_s: float) -> None:
        self._store = store
        self._timeout_s = timeout_s

    async def find(self, tenant: str, key: str, wanted: Form) -> Entry | None:
        """In the form that is wanted, or else in the other."""
        forms = sorted(FORMS, key=lambda form: form != wanted)
        found = await self._do("MGET", *[_answer(tenant, key, form) for form in forms])
        if not isinstance(found, list):
            return None
        return next((entry for raw in found if isinstance(raw, bytes) and (entry := unpack(raw))), None)

    async def keep(self, tenant: str, key: str, entry: Entry, ttl_s: float) -> None:
        await self._do("SET", _answer(tenant, key, entry.form), pack(entry), "PX", int(ttl_s * 1000))

    async def nearest(self, tenant: str, surroundings: str, vector: Sequence[float]) -> tuple[float, str]:
        """The likeness (cosine) of the most similar question, and the key of its answer; 0 when there is none."""
        found = await self._do("LRANGE", _neighbours(tenant, surroundings), 0, NEIGHBOURS_MAX - 1)
        if not isinstance(found, list):
            return 0.0, ""
        return _nearest([raw for raw in found if isinstance(raw, bytes)], vector)

    async def remember(self, tenant: str, surroundings: str, vector: Sequence[float], key: str, ttl_s: float) -> None:
        name = _neighbours(tenant, surroundings)
        packed = msgspec.msgpack.encode(_Neighbour(key, numpy.asarray(vector, dtype=numpy.float32).tobytes()))
        await self._do("LPUSH", name, packed)
        await self._do("LTRIM", name, 0, NEIGHBOURS_MAX - 1)
        await self._do("PEXPIRE", name, int(ttl_s * 1000))

    async def _do(self, *command: str | bytes | int) -> object:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._store.do(*command)
        except (Failure, TimeoutError):
            return None


def _nearest(packed: list[bytes], vector: Sequence[float]) -> tuple[float, str]:
    own = numpy.asarray(vector, dtype=numpy.float32)
    keys: list[str] = []
    rows: list[numpy.typing.NDArray[numpy.float32]] = []
    for raw in packed:
        try:
            neighbour = msgspec.msgpack.decode(raw, type=_Neighbour)
        except msgspec.DecodeError:
            continue
        if len(neighbour.vector) == own.nbytes:
            keys.append(neighbour.key)
            rows.append(numpy.frombuffer(neighbour.vector, dtype=numpy.float32))
    if not rows:
        return 0.0, ""
    others = numpy.stack(rows)
    lengths = numpy.linalg.norm(others, axis=1) * numpy.linalg.norm(own)
    likeness = others @ own / numpy.maximum(lengths, numpy.finfo(numpy.float32).tiny)
    best = int(likeness.argmax())
    return float(likeness[best]), keys[best]


def _answer(tenant: str, key: str, form: Form) -> str:
    return f"penstock:{{{tenant}}}:cache:{key}:{form}"


def _neighbours(tenant: str, surroundings: str) -> str:
    return f"penstock:{{{tenant}}}:cache:near:{surroundings}"
