"""What the router wants of a provider: a whole answer, or a stream of its bytes."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from services.router.deployment import Deployment, Kind
from services.router.watch import Watch


@dataclass(frozen=True, slots=True)
class Ask:
    """One attempt's request, in the protocol the provider speaks."""

    deployment: Deployment
    kind: Kind
    body: bytes
    watch: Watch


class Provider(Protocol):
    """Raises Fault for everything that goes wrong. Cancelling the caller's task hangs up at once."""

    async def whole(self, ask: Ask) -> bytes:
        """The answer's body; its status was good, what it says is not judged."""
        ...

    def stream(self, ask: Ask) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The answer's bytes as they come, from when its headers say that it is well. Leaving hangs up."""
        ...
