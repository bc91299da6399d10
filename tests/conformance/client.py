"""What the suite wants of a client library, whichever it is: a conversation as its user would write it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import BaseModel

Json = dict[str, object]


@dataclass(frozen=True)
class Tool:
    """One that the caller runs."""

    name: str
    description: str
    schema: Json


@dataclass(frozen=True)
class Call:
    """What the model wants of a tool."""

    id: str
    name: str
    arguments: Json


@dataclass(frozen=True)
class Used:
    """Tokens: `asked` includes those `cached`, `answered` those of thoughts."""

    asked: int
    cached: int
    answered: int


@dataclass(frozen=True)
class Options:
    """A conversation's settings. `earlier`: what user and assistant said before it. `forced`: the tool to be called.
    `peculiar`: also a setting that few protocols have. `hosted`: also a tool that the provider itself runs."""

    model: str
    streamed: bool = False
    system: str = ""
    earlier: tuple[tuple[str, str], ...] = ()
    tools: tuple[Tool, ...] = ()
    forced: str = ""
    schema: type[BaseModel] | None = None
    output_tokens: int = 500
    stops: tuple[str, ...] = ()
    thinking: bool = False
    peculiar: bool = False
    hosted: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """As the library shows it. `reason`: its own word for the end. `pieces`: the texts that were streamed, none of an
    answer that came whole. `headers` of the HTTP answer have names in lower case."""

    text: str
    reason: str
    used: Used
    headers: Mapping[str, str]
    calls: tuple[Call, ...] = ()
    thought: str = ""
    parsed: BaseModel | None = None
    pieces: tuple[str, ...] = ()


class Conversation(Protocol):
    """Keeps its history itself."""

    async def say(self, words: str, *, image: bytes = b"") -> Answer: ...
    async def tell(self, results: Sequence[tuple[Call, str]]) -> Answer:
        """What tools gave, in the order to be told."""
        ...


class Client(Protocol):
    """One library with one key, and retries turned off."""

    protocol: str

    def talk(self, options: Options) -> Conversation: ...
    async def count(self, model: str, words: str) -> int: ...
    async def models(self) -> list[str]: ...
    async def close(self) -> None: ...


class Heads:
    """The headers of the latest answer."""

    def __init__(self) -> None:
        self.latest: dict[str, str] = {}

    def see(self, headers: Mapping[str, str]) -> None:
        self.latest = {name.lower(): value for name, value in headers.items()}
