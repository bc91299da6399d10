"""The claim check: a body above the limit travels through the BLOB stream and only its reference in the message."""

import asyncio
import math
from typing import Protocol

from penstock.bus.config import BusConfig
from penstock.bus.headers import whole_number
from penstock.bus.message import Message
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import BLOB

FETCH_S = 60
"""A body is kept so much longer than its call may take."""


class Blobs(Protocol):
    """Where large bodies are kept for as long as a message may be under way."""

    async def put(self, data: bytes, *, ttl_s: int = 0) -> str:
        """Keeps `data` for `ttl_s` (0: as long as anything that is stored) and gives its id."""

    async def get(self, id: str) -> bytes:
        """The bytes kept under `id`; Failure(NOT_FOUND) when they are gone."""


class Bodies:
    """Packs and unpacks message bodies within the configured limits."""

    def __init__(self, config: BusConfig, blobs: Blobs) -> None:
        self._inline_max_bytes = config.claim_check_bytes
        self._max_bytes = config.body_max_bytes
        self._passing_ttl_s = config.passing_body_ttl_s
        self._blobs = blobs

    def small(self, data: bytes) -> bool:
        """Whether `data` may travel in the message itself."""
        return len(data) <= self._inline_max_bytes

    async def check_in(self, data: bytes, *, within_s: float | None = None) -> dict[str, str]:
        """Puts a large body away; the header that refers to it. Raises Failure TOO_LARGE, DEADLINE, OVERLOADED.

        `within_s`: it passes by with a call that may take so long, and is kept little longer. Without, its message is
        stored, so that it must live as long.
        """
        if len(data) > self._max_bytes:
            raise Failure(Code.TOO_LARGE, f"a body of {len(data)} bytes is above the limit of {self._max_bytes}")
        ttl_s = 0 if within_s is None else min(math.ceil(within_s) + FETCH_S, self._passing_ttl_s)
        try:
            async with asyncio.timeout(within_s):
                id = await self._blobs.put(data, ttl_s=ttl_s)
        except TimeoutError:
            raise Failure(Code.DEADLINE, "the body could not be put away in time") from None
        return {BLOB: f"{id}:{len(data)}"}

    async def of(self, message: Message) -> bytes:
        """The message's body, fetched where it is a reference. Raises Failure TOO_LARGE, NOT_FOUND, INVALID."""
        reference = message.headers.get(BLOB) if message.raw else None
        if reference is None:
            return message.data
        id, _, text = reference.partition(":")
        size = whole_number(text)
        if size < 0:
            raise Failure(Code.INVALID, "the reference to the body cannot be read")
        if size > self._max_bytes:
            raise Failure(Code.TOO_LARGE, f"a body of {size} bytes is above the limit of {self._max_bytes}")
        return await self._blobs.get(id)
