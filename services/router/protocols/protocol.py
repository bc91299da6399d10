"""What every protocol can do, as a surface that callers speak and as the wire of a provider.

Nothing here does I/O: bytes and values in, bytes and values out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol as Interface

import msgspec

from penstock.contracts.llm import Usage
from services.router.estimate import Size
from services.router.protocols.answer import Answer, Piece
from services.router.protocols.loss import Losses
from services.router.protocols.prompt import Prompt
from services.router.sse import SseEvent
from services.router.usage import guessed


class Needs(msgspec.Struct, frozen=True):
    """What a request asks of whoever serves it, as far as a look at its bytes tells."""

    tools: bool = False
    schema: bool = False
    """The answer must keep to a JSON schema."""
    images: bool = False
    documents: bool = False
    audio: bool = False
    reasoning: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """The deployment that a request is written for. `endpoint`: where signatures are minted and honoured.
    `thoughts_field`: the message field in which a chat-completions provider takes its earlier thoughts back
    (`reasoning_content`: DeepSeek, vLLM; `reasoning`: OpenRouter); empty for those that take none.
    `version`: of the provider's API that the request is sent under (Anthropic's header), where it matters to what may
    be said; empty: the oldest."""

    model: str
    endpoint: str
    streamed: bool
    output_tokens_max: int = 0
    output_tokens_field: str = "max_tokens"
    stream_usage: bool = True
    thoughts_field: str = ""
    version: str = ""


class Body(Interface):
    """A caller's request, read as little as can be: what a decision needs of it, and its bytes for a provider that
    speaks the same protocol. Fields that nobody here knows survive byte for byte, absent ones stay absent."""

    @property
    def model(self) -> str: ...
    @property
    def streamed(self) -> bool: ...
    @property
    def size(self) -> Size: ...
    @property
    def needs(self) -> Needs: ...
    @property
    def choices(self) -> int: ...
    @property
    def output_tokens(self) -> int:
        """The caller's own cap; 0 when there is none."""
        ...

    @property
    def wants_usage(self) -> bool:
        """Whether a stream may tell usage: OpenAI chat's callers ask for it, the other protocols always tell."""
        ...

    @property
    def echo(self) -> Mapping[str, msgspec.Raw]:
        """What the protocol's answers repeat of the request (Shape.echo); empty for most."""
        ...

    def for_upstream(self, target: Target) -> bytes:
        """The request as this target gets it: its model name, `stream`, its cap, usage asked for; no more changes."""
        ...

    def prompt(self) -> Prompt:
        """The request in the neutral form. Raises Failure(INVALID) that names the field at fault."""
        ...


class Sort(Enum):
    """What an event is to the commit boundary and to the watch over idle time."""

    NOISE = "noise"
    """A comment, a ping, an empty event: shows that the connection lives, not that the model does."""
    START = "start"
    """Before content: a role, an empty text. An error may still be answered by another deployment."""
    CONTENT = "content"
    USAGE = "usage"
    """Usage and nothing else."""
    DONE = "done"
    """The protocol's last event."""


class Told(msgspec.Struct):
    """What an answer said of itself. `finish`: the provider's own word. `output_bytes`: content as it stood on the
    wire, for estimates. `artefacts`: signatures and seals that only their endpoint honours, for as long as they are
    few (ARTEFACTS_MAX)."""

    usage: Usage | None = None
    finish: str = ""
    model: str = ""
    output_bytes: int = 0
    id: str = ""
    artefacts: list[str] = []

    def usage_or_guess(self, input_tokens: int) -> Usage:
        """The provider's count; ours, flagged, when it gave none."""
        return self.usage if self.usage is not None else guessed(input_tokens, self.output_bytes)


class Tap(Interface):
    """One streamed answer of a provider that speaks the caller's protocol, read off its bytes, which pass untouched
    but for usage nobody asked for. `told` grows as events are read; `done` after the protocol's last event."""

    told: Told
    done: bool

    def read(self, event: SseEvent) -> tuple[Sort, bytes]:
        """What the event is, and its bytes as the caller sees them (empty: not at all). Raises Fault for an error
        event and for what is not of the protocol."""
        ...

    def end(self) -> bytes:
        """What a provider left out that clients wait for (`[DONE]`), once its stream ended well; empty when nothing."""
        ...

    @property
    def whole(self) -> bool:
        """Whether what came so far is a complete answer (a reason to stop was given)."""
        ...


class Reader(Interface):
    """One streamed answer of a provider, read into pieces. `told` as in a Tap."""

    told: Told
    done: bool

    def read(self, event: SseEvent) -> tuple[Sort, Sequence[Piece]]:
        """Raises Fault."""
        ...

    def end(self) -> Sequence[Piece]:
        """The provider's stream ended: the pieces that were still due. Raises Fault when it ended too soon."""
        ...


class Writer(Interface):
    """Pieces as the server-sent events of the caller's protocol. Events are framed in full (`data: …\\n\\n`)."""

    def write(self, piece: Piece) -> bytes:
        """Empty where the protocol says nothing yet."""
        ...

    def end(self) -> bytes:
        """What closes the stream after the last piece."""
        ...


@dataclass(frozen=True, slots=True)
class Shape:
    """How an answer is to be written. `model`: the name the caller asked for or the provider's, as the caller sees it;
    `id` is used where the provider's own is not of this protocol; `created`: Unix seconds. `wants_usage`: OpenAI chat's
    include_usage. `echo`: top-level values of the request that the protocol's answers repeat (Responses)."""

    model: str
    id: str
    created: int
    wants_usage: bool = False
    echo: Mapping[str, msgspec.Raw] = field(default_factory=dict)


class Protocol(Interface):
    """One protocol. Stateless; there is one instance of each in the table."""

    name: str

    # As a surface
    def read(self, body: bytes, model: str = "") -> Body:
        """A caller's request; `model` where the protocol carries it outside of the body. Raises Failure(INVALID)."""
        ...

    def write_answer(self, answer: Answer, shape: Shape, losses: Losses) -> bytes: ...
    def writer(self, shape: Shape, losses: Losses) -> Writer: ...

    # As a provider's wire
    def write_prompt(self, prompt: Prompt, target: Target, losses: Losses) -> bytes:
        """Refuses nothing: what cannot be carried is left out and noted."""
        ...

    def read_answer(self, body: bytes) -> tuple[Answer, Told]:
        """Raises Fault: an error inside it, or what is no answer of this protocol."""
        ...

    def reader(self) -> Reader: ...

    # Both at once
    def read_told(self, body: bytes) -> Told:
        """A whole answer that is passed on as it is. Raises Fault as `read_answer` does."""
        ...

    def tap(self, *, strip_usage: bool) -> Tap: ...
