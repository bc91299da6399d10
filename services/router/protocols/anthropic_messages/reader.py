"""A streamed message, read into pieces. Pure."""

from collections.abc import Sequence

import msgspec

from penstock.contracts.llm import ANTHROPIC_MESSAGES
from services.router.fault import is_nothing
from services.router.protocols.answer import AnswerPart, Begun, Counted, Ended, Finished, Grown, Opened, Piece
from services.router.protocols.anthropic_messages import block, carried
from services.router.protocols.anthropic_messages.answer import cited
from services.router.protocols.anthropic_messages.event import Delta, Event, early, garbage, note, read_event
from services.router.protocols.anthropic_messages.legal import tool_name
from services.router.protocols.anthropic_messages.stop import finish_of
from services.router.protocols.anthropic_messages.tap import sort_of
from services.router.protocols.part import Opaque, Text, Thinking, ToolCall
from services.router.protocols.protocol import Sort, Told
from services.router.sse import SseEvent


class _Block:
    """One that has begun on the wire. `opaque` waits for its end, and begins whole then."""

    __slots__ = ("citations", "given", "grew", "input", "kind", "number", "opaque")

    def __init__(self, kind: str, number: int = -1, opaque: msgspec.Raw | None = None, given: str = "") -> None:
        self.kind = kind
        self.number = number
        self.opaque = opaque
        self.given = given
        self.grew = False
        self.input: list[str] = []
        self.citations: list[msgspec.Raw] = []


class MessagesReader:
    """`told` grows as events are read."""

    __slots__ = ("_blocks", "_called", "_finished", "_next", "_opened", "_stop_sequence", "done", "told")

    def __init__(self) -> None:
        self.told = Told()
        self.done = False
        self._blocks: dict[int, _Block] = {}
        self._next = 0
        self._called = False
        self._finished = False
        self._opened = False
        self._stop_sequence = ""

    def read(self, event: SseEvent) -> tuple[Sort, Sequence[Piece]]:
        """Raises Fault."""
        if event.data is None or not event.data.strip():
            return Sort.NOISE, ()
        read = read_event(event.data, event.name)
        sort = sort_of(read, self.told)
        note(read, self.told)
        try:
            return sort, self._pieces(read)
        except block.BROKEN:
            raise garbage("the provider's stream holds a block that cannot be read") from None

    def end(self) -> Sequence[Piece]:
        """Raises Fault when no reason to stop was given."""
        if not self.told.finish:
            raise early()
        return self._finish()

    def _pieces(self, event: Event) -> Sequence[Piece]:
        match event.type:
            case "message_start":
                return self._open()
            case "content_block_start":
                return self._begin(event.index, event.content_block)
            case "content_block_delta":
                return self._grow(event.index, event.delta)
            case "content_block_stop":
                found = self._blocks.pop(event.index, None)
                return () if found is None else self._stop(found)
            case "message_delta":
                if event.delta is not None and event.delta.stop_sequence:
                    self._stop_sequence = event.delta.stop_sequence
                return self._count()
            case "message_stop":
                self.done = True
                return self._finish()
            case _:
                return ()

    def _open(self) -> list[Piece]:
        if self._opened:
            raise garbage("the provider's stream begins a second message")
        self._opened = True
        return [Opened(self.told.id, self.told.model), *self._count()]

    def _count(self) -> list[Piece]:
        return [] if self.told.usage is None else [Counted(self.told.usage)]

    def _begin(self, index: int, raw: msgspec.Raw) -> Sequence[Piece]:
        if index in self._blocks:
            raise garbage("the provider's stream begins a block twice")
        kind = block.kind.decode(raw).type
        match kind:
            case "text":
                return self._begun(index, kind, Text(block.text.decode(raw).text))
            case "thinking":
                thought = block.thinking.decode(raw)
                return self._begun(index, kind, carried.thinking(thought.thinking, thought.signature or ""))
            case "redacted_thinking":
                return self._begun(index, kind, Thinking(sealed=block.redacted.decode(raw).data))
            case "tool_use":
                return self._begin_call(index, raw)
            case _:
                self._blocks[index] = _Block(kind, opaque=raw)
                return ()

    def _begin_call(self, index: int, raw: msgspec.Raw) -> Sequence[Piece]:
        """Some endpoints give the whole input at once, others an empty one that the deltas fill."""
        call = block.tool_use.decode(raw)
        name, namespace = tool_name(call.name)
        given = "{}" if is_nothing(call.input) else bytes(call.input).decode()
        self._called = True
        return self._begun(index, "tool_use", ToolCall(call.id, name, namespace=namespace), given)

    def _begun(self, index: int, kind: str, part: AnswerPart, given: str = "") -> list[Piece]:
        self._blocks[index] = _Block(kind, self._next, given=given)
        return [self._new(part)]

    def _new(self, part: AnswerPart) -> Begun:
        number, self._next = self._next, self._next + 1
        return Begun(part, number)

    def _grow(self, index: int, delta: Delta | None) -> Sequence[Piece]:
        found = self._blocks.get(index)
        if found is None or delta is None:
            raise garbage("the provider's stream goes on with a block that never began")
        if found.opaque is not None:
            found.input.append(delta.partial_json)
            return ()
        if not is_nothing(delta.citation):
            found.citations.append(delta.citation)
        if delta.partial_json:
            found.grew = True
            return [Grown(found.number, arguments=delta.partial_json)]
        if delta.signature:
            signed = carried.thinking("", delta.signature)
            return [Grown(found.number, signature=signed.signature, sealed=signed.sealed)]
        text = delta.text or delta.thinking
        return [Grown(found.number, text=text)] if text else ()

    def _stop(self, found: _Block) -> list[Piece]:
        if found.opaque is not None:
            return self._whole(Opaque(ANTHROPIC_MESSAGES, found.kind, _filled(found.opaque, "".join(found.input))))
        pieces: list[Piece] = []
        if found.kind == "tool_use" and not found.grew:
            pieces.append(Grown(found.number, arguments=found.given))
        pieces.append(Ended(found.number))
        if found.citations:
            for part in cited(msgspec.Raw(msgspec.json.encode(found.citations))):
                pieces += self._whole(part)
        return pieces

    def _whole(self, part: AnswerPart) -> list[Piece]:
        begun = self._new(part)
        return [begun, Ended(begun.number)]

    def _finish(self) -> list[Piece]:
        if self._finished:
            return []
        self._finished = True
        pieces: list[Piece] = []
        for index in sorted(self._blocks):
            pieces += self._stop(self._blocks.pop(index))
        pieces.append(Finished(finish_of(self.told.finish, calls=self._called), self._stop_sequence))
        return pieces


def _filled(raw: msgspec.Raw, input_json: str) -> msgspec.Raw:
    """A block with the input that its deltas gave."""
    if not input_json:
        return raw
    fields = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    msgspec.json.decode(input_json, type=msgspec.Raw)  # half an input is no block
    return msgspec.Raw(msgspec.json.encode(fields | {"input": msgspec.Raw(input_json.encode())}))
