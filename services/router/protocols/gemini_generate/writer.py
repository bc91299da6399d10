"""Pieces as a stream of GenerateContentResponses. Pure.

Words go out as they come, a call when it is whole, a signature when its part ends. Why the choices ended and what was
used stand in the last response, as Gemini has it.
"""

from dataclasses import dataclass, field

import msgspec

from penstock.contracts.llm import Usage
from services.router.protocols.answer import AnswerPart, Begun, Counted, Ended, Finished, Grown, Opened, Piece
from services.router.protocols.fold import grown
from services.router.protocols.gemini_generate.answer import closing, write_candidate
from services.router.protocols.gemini_generate.counts import written_counts
from services.router.protocols.loss import Losses
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall
from services.router.protocols.protocol import Shape

Spelled = dict[str, object]


@dataclass(slots=True)
class _Open:
    """A part that has not ended. `part`: what was not said yet of it; `arguments`: those of a call that came after.
    `said`: whether any of its words were."""

    part: AnswerPart
    said: bool = False
    arguments: list[str] = field(default_factory=list)

    def grow(self, piece: Grown) -> None:
        if isinstance(self.part, ToolCall):
            self.arguments.append(piece.arguments)
            piece = msgspec.structs.replace(piece, arguments="")
        self.part = grown(self.part, piece)

    def whole(self) -> AnswerPart:
        if not isinstance(self.part, ToolCall) or not self.arguments:
            return self.part
        return msgspec.structs.replace(self.part, arguments=self.part.arguments + "".join(self.arguments))


class GeminiWriter:
    """One stream."""

    __slots__ = ("_finished", "_id", "_losses", "_model", "_open", "_shape", "_usage")

    def __init__(self, shape: Shape, losses: Losses) -> None:
        self._shape = shape
        self._losses = losses
        self._open: dict[tuple[int, int], _Open] = {}
        self._finished: dict[int, Spelled] = {}
        self._usage: Usage | None = None
        self._id = shape.id
        self._model = shape.model

    def write(self, piece: Piece) -> bytes:
        match piece:
            case Opened():
                self._id = piece.id or self._shape.id
                self._model = self._shape.model or piece.model
            case Begun():
                return self._begin(piece)
            case Grown():
                return self._grow(piece)
            case Ended():
                return self._finish(piece.choice, piece.number)
            case Finished():
                self._finished[piece.choice] = closing(piece.finish, piece.stop_sequence, piece.choice, self._losses)
            case Counted():
                self._usage = piece.usage
        return b""

    def end(self) -> bytes:
        rest = b"".join([self._finish(*key) for key in list(self._open)])
        made: Spelled = {
            "candidates": [
                {"content": {"parts": [{"text": ""}], "role": "model"}, "index": number, **finished}
                for number, finished in sorted(self._finished.items())
            ]
        }
        if self._usage is not None:
            made["usageMetadata"] = written_counts(self._usage)
        if self._finished or self._usage is not None:
            rest += self._event(made)
        return rest

    def _begin(self, piece: Begun) -> bytes:
        key = piece.choice, piece.number
        if isinstance(piece.part, Opaque):
            return self._part(piece.part, piece.choice)
        self._open[key] = _Open(piece.part)
        return self._say(*key)

    def _grow(self, piece: Grown) -> bytes:
        """A part that has ended was sent: what comes later (the signature of a call, in some streams) is lost."""
        key = piece.choice, piece.number
        if key not in self._open:
            self._losses.note("content.parts", "what came of a part after its end, a signature perhaps, is left out")
            return b""
        self._open[key].grow(piece)
        return self._say(*key)

    def _say(self, choice: int, number: int) -> bytes:
        """The words of a part that were not said yet."""
        open = self._open[choice, number]
        part = open.part
        if isinstance(part, ToolCall | Opaque) or not part.text:
            return b""
        open.part, open.said = msgspec.structs.replace(part, text=""), True
        return self._part(Thinking(part.text) if isinstance(part, Thinking) else part, choice)

    def _finish(self, choice: int, number: int) -> bytes:
        """What had to wait until the part was whole: a call, a signature."""
        open = self._open.pop((choice, number), _Open(Text("")))
        part = open.whole()
        match part:
            case Text() | Refusal() | Opaque():
                return b""
            case Thinking() if open.said and part.signature:
                return self._spelled({"text": "", "thought": True, "thoughtSignature": part.signature}, choice)
            case Thinking() if not part.signature and not part.sealed:
                return b""
            case _:
                return self._part(part, choice)

    def _part(self, part: AnswerPart, choice: int) -> bytes:
        candidate = write_candidate((part,), choice, self._losses)
        return self._event({"candidates": [candidate]})

    def _spelled(self, part: Spelled, choice: int) -> bytes:
        return self._event({"candidates": [{"content": {"parts": [part], "role": "model"}, "index": choice}]})

    def _event(self, made: Spelled) -> bytes:
        made |= {"modelVersion": self._model, "responseId": self._id}
        return b"data: " + msgspec.json.encode(made) + b"\n\n"
