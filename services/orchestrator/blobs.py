"""What is too large for the journal: kept as a blob, with only its id in the event."""

from collections.abc import Awaitable, Callable

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.jobs import NO_JSON
from services.orchestrator.runlog import RunLost


class Blobs:
    """Over the bus's blob store, whose `put` and `get` it is given."""

    def __init__(
        self, put: Callable[[bytes], Awaitable[str]], get: Callable[[str], Awaitable[bytes]], inline_max_bytes: int
    ) -> None:
        self._put = put
        self._get = get
        self._inline_max_bytes = inline_max_bytes

    async def check_in(self, data: bytes) -> tuple[msgspec.Raw, str]:
        """`data` itself when it fits, otherwise the id under which it now is. Raises RunLost when it cannot be kept."""
        if len(data) <= self._inline_max_bytes:
            return msgspec.Raw(data), ""
        try:
            return NO_JSON, await self._put(data)
        except Failure as failure:
            raise RunLost(f"a large result cannot be kept: {failure.code}", fenced=False) from failure

    async def check_out(self, inline: msgspec.Raw, blob: str) -> bytes | None:
        """What was checked in; None when the blob's time is over. Raises RunLost when it cannot be read for now."""
        if not blob:
            return bytes(inline)
        try:
            return await self._get(blob)
        except Failure as failure:
            if failure.code is Code.NOT_FOUND:
                return None
            raise RunLost(f"a large result cannot be read: {failure.code}", fenced=False) from failure
