"""A caller's request that is not sent as it came: with a template's messages before it, or without what its target
would not honour. Pure."""

from collections.abc import Mapping

import msgspec

from services.router.estimate import Size
from services.router.minted import without
from services.router.protocols.loss import Losses
from services.router.protocols.part import Media, Part, Text, Thinking, ToolCall, ToolResult
from services.router.protocols.prompt import Prompt, Turn
from services.router.protocols.protocol import Body, Needs, Protocol, Target


class Composed:
    """A Body whose turns come after others, and without what other endpoints minted (`foreign`). It is written anew for
    every provider, its own protocol's too."""

    def __init__(
        self, surface: Protocol, body: Body, before: tuple[Turn, ...] = (), foreign: frozenset[str] = frozenset()
    ) -> None:
        self._surface = surface
        self._body = body
        self._before = before
        self._foreign = foreign
        self._prompt: Prompt | None = None
        more = [size for turn in before for part in turn.parts for size in _sizes(part)]
        self.size = Size(body.size.text + sum(more), body.size.images + _media(before))

    @property
    def model(self) -> str:
        return self._body.model

    @property
    def streamed(self) -> bool:
        return self._body.streamed

    @property
    def choices(self) -> int:
        return self._body.choices

    @property
    def output_tokens(self) -> int:
        return self._body.output_tokens

    @property
    def wants_usage(self) -> bool:
        return self._body.wants_usage

    @property
    def echo(self) -> Mapping[str, msgspec.Raw]:
        return self._body.echo

    @property
    def needs(self) -> Needs:
        """Those of the turns before too."""
        needs = self._body.needs
        kinds = {part.kind for turn in self._before for part in turn.parts if isinstance(part, Media)}
        return msgspec.structs.replace(
            needs,
            images=needs.images or "image" in kinds,
            documents=needs.documents or "document" in kinds,
            audio=needs.audio or "audio" in kinds,
        )

    def for_upstream(self, target: Target) -> bytes:
        return self._surface.write_prompt(self.prompt(), target, Losses())

    def prompt(self) -> Prompt:
        """System turns of a template stay first."""
        if self._prompt is None:
            own = self._body.prompt()
            whole = msgspec.structs.replace(own, turns=self._before + own.turns)
            self._prompt = without(whole, self._foreign) if self._foreign else whole
        return self._prompt


def _sizes(part: Part) -> list[int]:
    """Bytes that a model reads, more or less; what is carried in line as base64 is counted by the piece."""
    match part:
        case Text():
            return [len(part.text.encode())]
        case Thinking():
            return [len(part.text.encode()), len(part.sealed)]
        case ToolCall():
            return [len(part.arguments.encode())]
        case ToolResult():
            return [size for inner in part.parts for size in _sizes(inner)]
        case _:
            return []


def _media(turns: tuple[Turn, ...]) -> int:
    parts = [part for turn in turns for part in turn.parts]
    inner = [each for part in parts if isinstance(part, ToolResult) for each in part.parts]
    return sum(isinstance(part, Media) for part in (*parts, *inner))
