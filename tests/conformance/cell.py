"""One client over one type of provider, whole or streamed: a cell of the table that every feature is tried in."""

from dataclasses import dataclass

from tests.conformance.client import Client, Conversation, Options
from tests.conformance.edge import Edge
from tests.conformance.provider_types import PROVIDER_TYPES, SCRIPTED, ProviderType
from tests.support.providers.scene import Seen
from tests.support.providers.server import Request

CLIENTS = ("chat", "responses", "anthropic", "google")
WAYS = ("", "-streamed")


def ids(clients: tuple[str, ...] = CLIENTS) -> list[str]:
    """`anthropic-over-gemini-streamed`, and so on."""
    return [f"{client}-over-{provider}{way}" for client in clients for provider in PROVIDER_TYPES for way in WAYS]


@dataclass(frozen=True)
class Cell:
    id: str
    edge: Edge
    client: Client

    @property
    def streamed(self) -> bool:
        return self.id.endswith("-streamed")

    @property
    def client_name(self) -> str:
        return self.id.partition("-over-")[0]

    @property
    def provider_name(self) -> str:
        return self.id.partition("-over-")[2].removesuffix("-streamed")

    @property
    def provider(self) -> ProviderType:
        return PROVIDER_TYPES[self.provider_name]

    @property
    def shows(self) -> bool:
        """Whether what the provider got can be looked at; a scripted one only answers."""
        return self.provider.provider != SCRIPTED

    def talk(self, **options: object) -> Conversation:
        model = self.provider_name
        return self.client.talk(Options(**{"model": model, "streamed": self.streamed} | options))  # type: ignore[arg-type]  # named once, there

    @property
    def received(self) -> Request:
        """The latest that the provider was asked."""
        request = self.edge.providers.received[-1]
        assert request.wire == self.provider.wire(self.client.protocol)
        return request

    @property
    def seen(self) -> Seen:
        return self.received.seen
