"""Pieces written as the chunks of a chat completion. Pure."""

import msgspec

from penstock.contracts.llm import OPENAI_CHAT, Usage
from services.router.protocols.answer import Begun, Counted, Ended, Finished, Grown, Opened, Piece
from services.router.protocols.loss import Losses
from services.router.protocols.openai_chat.answer import answer_id, note_finish, note_opaque, note_order, note_signature
from services.router.protocols.openai_chat.chunk import DONE_EVENT
from services.router.protocols.openai_chat.finish import write_finish
from services.router.protocols.openai_chat.usage import reported
from services.router.protocols.openai_chat.write_messages import write_call
from services.router.protocols.openai_chat.write_parts import Json
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall
from services.router.protocols.protocol import Shape

_ENCODE = msgspec.json.Encoder().encode


class _Call:
    """`index` among the choice's calls; `said`: whether it has arguments yet."""

    __slots__ = ("custom", "index", "said")

    def __init__(self, index: int, custom: bool, said: bool) -> None:
        self.index = index
        self.custom = custom
        self.said = said


class ChatWriter:
    """One stream. The role comes first in each choice; a call's id and name come once, with its index; usage, for those
    who asked for it, comes last in a chunk of its own."""

    __slots__ = ("_calls", "_fields", "_head", "_losses", "_shape", "_tail", "_usage")

    def __init__(self, shape: Shape, losses: Losses) -> None:
        self._shape = shape
        self._losses = losses
        self._usage: Usage | None = None
        self._fields: dict[tuple[int, int], str] = {}
        self._calls: dict[int, dict[int, _Call]] = {}
        self._tail = b',"usage":null}\n\n' if shape.wants_usage else b"}\n\n"
        self._head = self._head_for("")

    def write(self, piece: Piece) -> bytes:
        """Empty where the protocol says nothing yet."""
        match piece:
            case Grown():
                return self._role(piece.choice) + self._grown(piece)
            case Begun():
                return self._role(piece.choice) + self._begun(piece)
            case Ended():
                return self._ended(piece)
            case Finished():
                return self._role(piece.choice) + self._finished(piece)
            case Opened():
                self._head = self._head_for(piece.id)
                return self._role(0)
            case Counted():
                self._usage = piece.usage
                return b""

    def end(self) -> bytes:
        """Usage, where it is wanted, and the last event."""
        if self._usage is None or not self._shape.wants_usage:
            return DONE_EVENT
        return b'%b],"usage":%b}\n\n%b' % (self._head, _ENCODE(reported(self._usage)), DONE_EVENT)

    def _head_for(self, id: str) -> bytes:
        fields: Json = {
            "id": answer_id(id, self._shape),
            "object": "chat.completion.chunk",
            "created": self._shape.created,
            "model": self._shape.model,
        }
        return b'data: %b,"choices":[' % _ENCODE(fields)[:-1]

    def _chunk(self, choice: int, delta: Json, finish: bytes = b"null") -> bytes:
        return b'%b{"index":%d,"delta":%b,"logprobs":null,"finish_reason":%b}]%b' % (
            self._head,
            choice,
            _ENCODE(delta),
            finish,
            self._tail,
        )

    def _role(self, choice: int) -> bytes:
        if choice in self._calls:
            return b""
        self._calls[choice] = {}
        return self._chunk(choice, {"role": "assistant", "content": ""})

    def _begun(self, piece: Begun) -> bytes:
        part, choice = piece.part, piece.choice
        match part:
            case ToolCall():
                return self._call(part, piece.number, choice)
            case Opaque() if part.origin == OPENAI_CHAT:
                return self._chunk(choice, {part.type: part.raw})
            case Opaque():
                note_opaque(part, choice, self._losses)
                return b""
            case Text():
                name = "content"
                if self._calls[choice]:
                    note_order(choice, self._losses)
            case Thinking():
                name = "reasoning_content"
                note_signature(part, choice, self._losses)
            case Refusal():
                name = "refusal"
        self._fields[choice, piece.number] = name
        return self._chunk(choice, {name: part.text}) if part.text else b""

    def _call(self, part: ToolCall, number: int, choice: int) -> bytes:
        calls = self._calls[choice]
        call = calls[number] = _Call(len(calls), part.custom, bool(part.arguments))
        written = write_call(part, part.name)
        if not part.custom:
            written["function"] = {"name": part.name, "arguments": part.arguments}
        return self._chunk(choice, {"tool_calls": [{"index": call.index} | written]})

    def _grown(self, piece: Grown) -> bytes:
        choice = piece.choice
        call = self._calls[choice].get(piece.number)
        if call is not None:
            return self._call_grown(call, piece)
        if piece.signature or piece.sealed:
            note_signature(Thinking(signature="x"), choice, self._losses)
        name = self._fields.get((choice, piece.number))
        return self._chunk(choice, {name: piece.text}) if name and piece.text else b""

    def _call_grown(self, call: _Call, piece: Grown) -> bytes:
        written: Json = {"index": call.index}
        if piece.arguments:
            call.said = True
            written |= {"custom": {"input": piece.arguments}} if call.custom else _arguments(piece.arguments)
        if piece.signature:
            written["extra_content"] = {"google": {"thought_signature": piece.signature}}
        return self._chunk(piece.choice, {"tool_calls": [written]}) if len(written) > 1 else b""

    def _ended(self, piece: Ended) -> bytes:
        """No arguments are `{}`: clients read them as JSON."""
        call = self._calls.get(piece.choice, {}).get(piece.number)
        if call is None or call.said or call.custom:
            return b""
        call.said = True
        return self._chunk(piece.choice, {"tool_calls": [{"index": call.index} | _arguments("{}")]})

    def _finished(self, piece: Finished) -> bytes:
        note_finish(piece.finish, piece.choice, self._losses)
        finish = write_finish(piece.finish, called=bool(self._calls[piece.choice]))
        return self._chunk(piece.choice, {}, b'"%b"' % finish.encode())


def _arguments(text: str) -> Json:
    return {"function": {"arguments": text}}
