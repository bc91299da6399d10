"""What the router wants of a provider: a whole answer, or a stream of its bytes."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from penstock.contracts.llm import OPENAI_CHAT
from services.router.attempts.watch import Watch
from services.router.models.deployment import Deployment


@dataclass(frozen=True, slots=True)
class Ask:
    """One attempt's request, in a protocol that the provider speaks. `headers`: the caller's, of which the provider
    gets those that are meant for it (`address.PASSED_ON`)."""

    deployment: Deployment
    body: bytes
    watch: Watch
    protocol: str = OPENAI_CHAT
    headers: Mapping[str, str] = field(default_factory=dict)


class Provider(Protocol):
    """Raises Fault for everything that goes wrong. Cancelling the caller's task hangs up at once."""

    async def whole(self, ask: Ask) -> bytes:
        """The answer's body; its status was good, what it says is not judged."""
        ...

    def stream(self, ask: Ask) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The answer's bytes as they come, from when its headers say that it is well. Leaving hangs up."""
        ...
