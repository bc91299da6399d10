"""A model's answer, whole and in pieces, in no protocol's spelling. Values only.

The law that every protocol keeps: the pieces of a stream, folded (`fold.py`), are the whole answer.
"""

from enum import StrEnum

import msgspec

from penstock.contracts.llm import Usage
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall

AnswerPart = Text | Refusal | Thinking | ToolCall | Opaque


class Finish(StrEnum):
    """Why the model stopped. TOOLS if and only if the answer holds a tool call that the caller is to carry out,
    whatever word the provider used."""

    STOP = "stop"
    STOP_SEQUENCE = "stop_sequence"
    LENGTH = "length"
    TOOLS = "tools"
    FILTERED = "filtered"
    REFUSED = "refused"
    PAUSED = "paused"
    """Anthropic's pause_turn: send the answer back, and the model goes on."""
    CONTEXT = "context"
    """The context window was full."""


class Choice(msgspec.Struct, frozen=True):
    """One of the answers (all protocols but OpenAI chat and Gemini give exactly one). `stop_sequence`: the one hit."""

    parts: tuple[AnswerPart, ...] = ()
    finish: Finish = Finish.STOP
    stop_sequence: str = ""


class Answer(msgspec.Struct, frozen=True):
    """The whole. `id`: the provider's; `model`: its name for the model; `usage`: None when it gave none."""

    choices: tuple[Choice, ...]
    id: str = ""
    model: str = ""
    usage: Usage | None = None


# In pieces. `choice` is the number of the answer, `number` that of the part within it, each counted from 0 without gaps
# in the order of their beginning. A part begins (Begun), grows (Grown), ends (Ended); parts of one choice may overlap
# (parallel tool calls). Finished closes a choice, after its parts. Counted may come at any time, the last counts.


class Opened(msgspec.Struct, frozen=True):
    """The stream has begun: comes first, once."""

    id: str = ""
    model: str = ""


class Begun(msgspec.Struct, frozen=True):
    """A part as far as it is known at once: its growing fields (`text`, `arguments`, `signature`, `sealed`) are what
    Grown adds to. An Opaque part comes whole."""

    part: AnswerPart
    number: int
    choice: int = 0


class Grown(msgspec.Struct, frozen=True):
    """More of a part: `text` (also of a refusal or thinking), `arguments` of a call, `signature` (of thinking, or of
    a call), `sealed`."""

    number: int
    text: str = ""
    arguments: str = ""
    signature: str = ""
    sealed: str = ""
    choice: int = 0


class Ended(msgspec.Struct, frozen=True):
    """A part is whole."""

    number: int
    choice: int = 0


class Finished(msgspec.Struct, frozen=True):
    """A choice is whole."""

    finish: Finish
    stop_sequence: str = ""
    choice: int = 0


class Counted(msgspec.Struct, frozen=True):
    """Usage so far, cumulative."""

    usage: Usage


Piece = Opened | Begun | Grown | Ended | Finished | Counted
