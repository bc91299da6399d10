"""Pieces as the events of a Responses stream, and the whole response at its end. Pure."""

import msgspec

from penstock.contracts.llm import Usage
from services.router.protocols.answer import (
    AnswerPart,
    Begun,
    Counted,
    Ended,
    Finish,
    Finished,
    Grown,
    Opened,
    Piece,
)
from services.router.protocols.fold import grown
from services.router.protocols.loss import Losses
from services.router.protocols.openai_responses import output
from services.router.protocols.openai_responses.answer import note_finish
from services.router.protocols.openai_responses.output import Item, Numbering, Word
from services.router.protocols.openai_responses.reading import Json
from services.router.protocols.openai_responses.response import (
    COMPLETED,
    IN_PROGRESS,
    INCOMPLETE,
    reason,
    response,
    response_id,
)
from services.router.protocols.openai_responses.seal import MADE_UP, id_for
from services.router.protocols.openai_responses.tools import groups
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall
from services.router.protocols.protocol import Shape


class _Live:
    """A part that grows: its beginning, and what was added to it since."""

    __slots__ = ("_added", "_part", "_sealed", "_signature", "content", "id", "index", "message", "shown")

    def __init__(self, part: AnswerPart, item_id: str, index: int) -> None:
        self._part = part
        self._added: list[str] = []
        self._signature = ""
        self._sealed = ""
        self.id = item_id
        self.index = index
        self.content = 0
        self.message: _Message | None = None
        self.shown = False

    @property
    def kind(self) -> AnswerPart:
        """The part as it began."""
        return self._part

    def add(self, piece: Grown) -> str:
        """What is new to be shown."""
        said = piece.arguments if isinstance(self._part, ToolCall) else piece.text
        if said:
            self._added.append(said)
        self._signature += piece.signature
        self._sealed += piece.sealed
        return said

    def whole(self) -> AnswerPart:
        said = "".join(self._added)
        piece = Grown(0, text=said, arguments=said, signature=self._signature, sealed=self._sealed)
        return grown(self._part, piece)


class _Message:
    """A message item. `open`: how many of its contents still grow; `last`: no other item has begun after it."""

    __slots__ = ("id", "index", "last", "open", "words")

    def __init__(self, item_id: str, index: int) -> None:
        self.id = item_id
        self.index = index
        self.words: list[Word] = []
        self.open = 0
        self.last = True


class ResponsesWriter:
    """See Writer. `response`: the whole Response object after `end`; empty before."""

    def __init__(self, shape: Shape, losses: Losses) -> None:
        self.response = b""
        self._shape = shape
        self._losses = losses
        self._groups = groups(shape.echo.get("tools"))
        self._numbering = Numbering(shape.id)
        self._id = ""
        self._sequence = 0
        self._items: list[Item | None] = []
        self._live: dict[int, _Live] = {}
        self._message: _Message | None = None
        self._finish = Finish.STOP
        self._refused = False
        self._usage: Usage | None = None

    def write(self, piece: Piece) -> bytes:
        match piece:
            case Opened():
                return self._open(piece)
            case Counted():
                self._usage = piece.usage
                return b""
            case Begun() | Grown() | Ended() | Finished() if piece.choice:
                self._losses.grave("output", "answers beyond the first are not carried")
                return b""
            case Begun():
                return self._begin(piece.number, piece.part)
            case Grown():
                return self._grow(piece)
            case Ended():
                live = self._live.pop(piece.number, None)
                return b"" if live is None else self._end(live)
            case Finished():
                return self._finished(piece.finish)

    def end(self) -> bytes:
        rest = self._finished(self._finish)
        incomplete = self._incomplete
        status = INCOMPLETE if incomplete else COMPLETED
        items = [item for item in self._items if item is not None]
        made = response(self._shape, self._id, status, items, self._usage, incomplete)
        self.response = msgspec.json.encode(made)
        return rest + self._event(f"response.{status}", response=msgspec.Raw(self.response))

    @property
    def _incomplete(self) -> str:
        return reason(self._finish, refused=self._refused)

    def _event(self, kind: str, **fields: object) -> bytes:
        data: Json = {"type": kind, "sequence_number": self._sequence}
        self._sequence += 1
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), msgspec.json.encode(data | fields))

    def _open(self, piece: Opened) -> bytes:
        self._id = piece.id
        self._numbering = Numbering(response_id(piece.id, self._shape))
        made = msgspec.Raw(msgspec.json.encode(response(self._shape, piece.id, IN_PROGRESS, [])))
        return self._event("response.created", response=made) + self._event("response.in_progress", response=made)

    def _added(self, item: Item) -> tuple[int, bytes]:
        index = len(self._items)
        self._items.append(None)
        return index, self._event("response.output_item.added", output_index=index, item=item)

    def _done(self, index: int, item: Item) -> bytes:
        self._items[index] = item
        return self._event("response.output_item.done", output_index=index, item=item)

    def _begin(self, number: int, part: AnswerPart) -> bytes:
        if not output.carried(part, number, self._losses):
            return b""
        match part:
            case Text() | Refusal():
                return self._begin_word(number, part)
            case Thinking():
                return self._begin_thinking(number, part)
            case ToolCall():
                return self._begin_call(number, part)
            case Opaque() if output.is_word(part):
                return self._begin_word(number, part)
            case Opaque():
                before = self._leave_message()
                index, event = self._added(part.raw)
                return before + event + self._done(index, part.raw)

    def _begin_word(self, number: int, part: Word) -> bytes:
        events = b""
        message = self._message
        if message is None:
            index = len(self._items)
            message = self._message = _Message(self._numbering.item("msg", index), index)
            item = output.message(message.id, [], IN_PROGRESS)
            events = self._added(item)[1]
        at = len(message.words)
        message.words.append(part)
        place: Json = {"item_id": message.id, "output_index": message.index, "content_index": at}
        if isinstance(part, Opaque):
            added = self._event("response.content_part.added", part=part.raw, **place)
            return events + added + self._event("response.content_part.done", part=part.raw, **place)
        self._refused = self._refused or isinstance(part, Refusal)
        message.open += 1
        live = self._live[number] = _Live(msgspec.structs.replace(part, text=""), message.id, message.index)
        live.message, live.content = message, at
        events += self._event("response.content_part.added", part=output.word_of(type(part)("")), **place)
        return events + self._grow(Grown(number, text=part.text))

    def _begin_thinking(self, number: int, part: Thinking) -> bytes:
        before = self._leave_message()
        item_id = id_for(part, self._numbering.item(MADE_UP, len(self._items)))
        index, event = self._added({"id": item_id, "type": "reasoning", "summary": []})
        self._live[number] = _Live(msgspec.structs.replace(part, text=""), item_id, index)
        return before + event + self._grow(Grown(number, text=part.text))

    def _begin_call(self, number: int, part: ToolCall) -> bytes:
        before = self._leave_message()
        empty = msgspec.structs.replace(part, arguments="")
        item_id = self._numbering.item(output.call_prefix(part), len(self._items))
        item = output.call(item_id, empty, self._groups)
        started = {"input": ""} if part.custom else {"arguments": "", "status": IN_PROGRESS}
        index, event = self._added(item | started)
        self._live[number] = _Live(empty, item_id, index)
        return before + event + self._grow(Grown(number, arguments=part.arguments))

    def _grow(self, piece: Grown) -> bytes:
        live = self._live.get(piece.number)
        if live is None:
            return b""
        said = live.add(piece)
        return self._show(live, said) if said else b""

    def _show(self, live: _Live, said: str) -> bytes:
        place: Json = {"item_id": live.id, "output_index": live.index, "delta": said}
        match live.kind:
            case Text():
                return self._event("response.output_text.delta", content_index=live.content, logprobs=[], **place)
            case Refusal():
                return self._event("response.refusal.delta", content_index=live.content, **place)
            case ToolCall(custom=True):
                return self._event("response.custom_tool_call_input.delta", **place)
            case ToolCall():
                return self._event("response.function_call_arguments.delta", **place)
            case _:
                return self._summary_part(live) + self._event(
                    "response.reasoning_summary_text.delta", summary_index=0, **place
                )

    def _summary_part(self, live: _Live) -> bytes:
        if live.shown:
            return b""
        live.shown = True
        place: Json = {"item_id": live.id, "output_index": live.index, "summary_index": 0}
        part = {"type": "summary_text", "text": ""}
        return self._event("response.reasoning_summary_part.added", part=part, **place)

    def _end(self, live: _Live) -> bytes:
        part = live.whole()
        match part:
            case Text() | Refusal():
                return self._end_word(live, part)
            case Thinking():
                return self._end_thinking(live, part)
            case ToolCall():
                return self._end_call(live, part)
            case Opaque():
                return b""

    def _end_word(self, live: _Live, part: Text | Refusal) -> bytes:
        place: Json = {"item_id": live.id, "output_index": live.index, "content_index": live.content}
        if isinstance(part, Text):
            events = self._event("response.output_text.done", text=part.text, logprobs=[], **place)
        else:
            events = self._event("response.refusal.done", refusal=part.text, **place)
        events += self._event("response.content_part.done", part=output.word_of(part), **place)
        message = live.message
        if message is not None:
            message.words[live.content] = part
            message.open -= 1
            if not message.last and not message.open:
                events += self._close_message(message)
        return events

    def _end_thinking(self, live: _Live, part: Thinking) -> bytes:
        events = b""
        if live.shown:
            place: Json = {"item_id": live.id, "output_index": live.index, "summary_index": 0}
            summary = {"type": "summary_text", "text": part.text}
            events = self._event("response.reasoning_summary_text.done", text=part.text, **place)
            events += self._event("response.reasoning_summary_part.done", part=summary, **place)
        return events + self._done(live.index, output.reasoning(live.id, part))

    def _end_call(self, live: _Live, part: ToolCall) -> bytes:
        place: Json = {"item_id": live.id, "output_index": live.index}
        if part.custom:
            events = self._event("response.custom_tool_call_input.done", input=part.arguments, **place)
        else:
            events = b"" if part.arguments else self._show(live, "{}")
            arguments = part.arguments or "{}"
            events += self._event("response.function_call_arguments.done", arguments=arguments, **place)
        events += self._done(live.index, output.call(live.id, part, self._groups))
        if not part.signature:
            return events
        item = output.call_signature(self._numbering.item(MADE_UP, len(self._items)), part)
        index, added = self._added(item)
        return events + added + self._done(index, item)

    def _leave_message(self) -> bytes:
        """Another item begins: what is said after it is another message."""
        message, self._message = self._message, None
        if message is None:
            return b""
        message.last = False
        return b"" if message.open else self._close_message(message)

    def _close_message(self, message: _Message, status: str = COMPLETED) -> bytes:
        return self._done(message.index, output.message(message.id, message.words, status))

    def _finished(self, finish: Finish) -> bytes:
        self._finish = finish
        note_finish(finish, self._losses)
        left, self._live = self._live, {}
        events = b"".join([self._end(live) for live in left.values()])
        message, self._message = self._message, None
        if message is not None:
            events += self._close_message(message, INCOMPLETE if self._incomplete else COMPLETED)
        return events
