"""Pieces as the events of a streamed message. Pure.

Parts may overlap in a stream of pieces, blocks may not: those that begin while one is open wait for its end. Only
choice 0 is written.
"""

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
from services.router.protocols.anthropic_messages import block, carried
from services.router.protocols.anthropic_messages.answer import head, write_part
from services.router.protocols.anthropic_messages.legal import legal
from services.router.protocols.anthropic_messages.stop import stop_reason
from services.router.protocols.anthropic_messages.tally import written
from services.router.protocols.fold import grown
from services.router.protocols.loss import Losses
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall
from services.router.protocols.protocol import Shape

_THOUGHT = {"type": "thinking", "thinking": "", "signature": ""}


class _Part:
    """One that has begun. `rest`: of it, what is not written yet; `more`: what has come since, while another was being
    written; `open`: its block has begun."""

    __slots__ = ("ended", "more", "open", "rest")

    def __init__(self, part: AnswerPart) -> None:
        self.rest = part
        self.more: list[Grown] = []
        self.ended = False
        self.open = False

    def grow(self) -> None:
        """Takes in what has come, all at once: its pieces may be many."""
        if not self.more:
            return
        more, self.more = self.more, []
        self.rest = grown(
            self.rest,
            Grown(
                0,
                text="".join([piece.text for piece in more]),
                arguments="".join([piece.arguments for piece in more]),
                signature="".join([piece.signature for piece in more]),
                sealed="".join([piece.sealed for piece in more]),
            ),
        )


class MessagesWriter:
    """One streamed answer."""

    def __init__(self, shape: Shape, losses: Losses) -> None:
        self._shape = shape
        self._losses = losses
        self._id = ""
        self._usage: Usage | None = None
        self._finish = Finish.STOP
        self._stop_sequence = ""
        self._called = False
        self._started = False
        self._parts: list[_Part] = []
        self._head = 0
        self._index = 0

    def write(self, piece: Piece) -> bytes:
        """Empty where the protocol says nothing yet."""
        match piece:
            case Opened():
                self._id = piece.id
            case Counted():
                self._usage = piece.usage
            case Begun() | Grown() | Ended() | Finished() if piece.choice:
                self._losses.note("choices", "a message is one answer: the first is shown")
            case Begun():
                self._called = self._called or isinstance(piece.part, ToolCall)
                self._parts.append(_Part(piece.part))
                return self._advance()
            case Grown():
                self._parts[piece.number].more.append(piece)
                return self._advance() if piece.number == self._head else b""
            case Ended():
                self._parts[piece.number].ended = True
                return self._advance()
            case Finished():
                self._finish, self._stop_sequence = piece.finish, piece.stop_sequence
                return self._close()
        return b""

    def end(self) -> bytes:
        """message_delta with the reason to stop and the usage, and message_stop."""
        delta = {
            "stop_reason": stop_reason(self._finish, calls=self._called),
            "stop_sequence": self._stop_sequence or None,
        }
        return (
            self._start()
            + self._close()
            + _event("message_delta", {"delta": delta, "usage": written(self._usage)})
            + _event("message_stop", {})
        )

    def _start(self) -> bytes:
        """message_start, once: as late as can be, so that it holds what usage is known."""
        if self._started:
            return b""
        self._started = True
        message = head(self._id, self._shape) | {
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": written(self._usage),
        }
        return _event("message_start", {"message": message})

    def _close(self) -> bytes:
        for part in self._parts[self._head :]:
            part.ended = True
        return self._advance()

    def _advance(self) -> bytes:
        """Writes what is there of the first part that is not whole, and of those behind it once it is."""
        out: list[bytes] = []
        while self._head < len(self._parts):
            part = self._parts[self._head]
            part.grow()
            out.append(self._more(part))
            if not part.ended:
                break
            out.append(self._last(part))
            part.rest = Text("")
            self._head += 1
        text = b"".join(out)
        return self._start() + text if text else b""

    def _more(self, part: _Part) -> bytes:
        """Of a part that may still grow, what can be said at once."""
        match part.rest:
            case Text(text=text) | Refusal(text=text) if text:
                start = self._open(part, {"type": "text", "text": ""})
                part.rest = Text("")
                return start + self._delta({"type": "text_delta", "text": text})
            case Thinking(text=text) if text:
                start = self._open(part, _THOUGHT)
                part.rest = msgspec.structs.replace(part.rest, text="")
                return start + self._delta({"type": "thinking_delta", "thinking": text})
            case ToolCall(custom=False) as call:
                return self._call(part, call)
        return b""

    def _call(self, part: _Part, call: ToolCall) -> bytes:
        before = b""
        if call.signature and not part.open:
            before = self._signed(carried.call_signature(call.signature))
        start = self._open(part, {"type": "tool_use", "id": legal(call.id), "name": call.name, "input": {}})
        part.rest = msgspec.structs.replace(call, arguments="")
        more = self._delta({"type": "input_json_delta", "partial_json": call.arguments}) if call.arguments else b""
        return before + start + more

    def _last(self, part: _Part) -> bytes:
        """The end of a part, or the whole of one that could not be said before."""
        rest = part.rest
        out = b""
        if isinstance(rest, Thinking):
            out = self._open(part, _THOUGHT)
            out += self._delta({"type": "signature_delta", "signature": carried.signature_of(rest)})
        elif isinstance(rest, ToolCall) and rest.custom:
            out = self._open(part, {"type": "tool_use", "id": legal(rest.id), "name": rest.name, "input": {}})
            words = msgspec.json.encode(block.wrapped(rest.arguments)).decode()
            out += self._delta({"type": "input_json_delta", "partial_json": words})
        elif isinstance(rest, Opaque):
            for raw in write_part("content", rest, self._losses):
                out += self._open(part, raw)
        return out + self._stop() if part.open else out

    def _signed(self, signature: str) -> bytes:
        """A thinking block that is a signature and nothing else."""
        thought = _Part(Thinking(signature=signature))
        out = self._open(thought, _THOUGHT) + self._delta({"type": "signature_delta", "signature": signature})
        return out + self._stop()

    def _stop(self) -> bytes:
        stop = _event("content_block_stop", {"index": self._index})
        self._index += 1
        return stop

    def _open(self, part: _Part, content_block: object) -> bytes:
        if part.open:
            return b""
        part.open = True
        return _event("content_block_start", {"index": self._index, "content_block": content_block})

    def _delta(self, delta: dict[str, str]) -> bytes:
        return _event("content_block_delta", {"index": self._index, "delta": delta})


def _event(name: str, fields: dict[str, object]) -> bytes:
    data = msgspec.json.encode({"type": name} | fields)
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
