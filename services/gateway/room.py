"""Room for the bodies of all requests together: many that are each within their limit would fill a machine."""

from collections.abc import Iterator
from contextlib import contextmanager

from penstock.contracts.errors import Code, Failure


class Share:
    """What one request has of the room."""

    def __init__(self, room: "Room") -> None:
        self._room = room
        self.bytes = 0

    def grow(self, size: int) -> None:
        """So many bytes more. Raises Failure(OVERLOADED)."""
        if self._room.held_bytes + size > self._room.max_bytes:
            raise Failure(Code.OVERLOADED, "too many large requests at once", retry_after_s=1.0)
        self._room.held_bytes += size
        self.bytes += size


class Room:
    """At most `max_bytes`, in shares that are given back whole."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held_bytes = 0

    @contextmanager
    def share(self) -> Iterator[Share]:
        """Held until the block ends."""
        share = Share(self)
        try:
            yield share
        finally:
            self.held_bytes -= share.bytes
