"""A model's answer as its caller may see it: whole and in pieces, which folded give the same. Pure."""

import msgspec
from msgspec.structs import replace

from penstock.kit.json_text import FAILS, decoded, edited, edited_text
from penstock.kit.transform import Inward, Transform
from services.router.fault import Fault, FaultKind
from services.router.protocols.answer import (
    Answer,
    AnswerPart,
    Begun,
    Ended,
    Finished,
    Grown,
    Piece,
)
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall

ARGUMENTS_MAX_CHARACTERS = 4 * 1024 * 1024
"""A call's arguments are held until they are whole: only then can it be told what is a text in them."""


def shown(answer: Answer, transform: Transform) -> Answer:
    """The whole answer."""
    choices = [
        replace(choice, parts=tuple(_shown(part, transform) for part in choice.parts)) for choice in answer.choices
    ]
    return replace(answer, choices=tuple(choices))


def _shown(part: AnswerPart, transform: Transform) -> AnswerPart:
    match part:
        case Text() | Refusal():
            return replace(part, text=transform.inward(part.text))
        case Thinking():
            text = transform.inward(part.text)
            # what proves the thought proves it word for word
            return part if text == part.text else replace(part, text=text, signature="", sealed="")
        case ToolCall():
            return _call(part, part.arguments, transform)
        case Opaque():
            return _opaque(part, transform)


def _call(part: ToolCall, arguments: str, transform: Transform) -> ToolCall:
    text = transform.inward(arguments) if part.custom else edited_text(arguments, transform.inward)
    signature = part.signature if text == arguments else ""
    return replace(part, arguments=text, signature=signature)


def _opaque(part: Opaque, transform: Transform) -> Opaque:
    try:
        value = decoded(part.raw)
    except FAILS:
        raise Fault(FaultKind.GARBAGE, "the provider's answer holds a part that cannot be read", sent=True) from None
    changed = edited(value, transform.inward)
    return part if changed is value else replace(part, raw=msgspec.Raw(msgspec.json.encode(changed)))


class Pieces:
    """One streamed answer. A text may be held back a little; it is all there when its part ends."""

    def __init__(self, transform: Transform) -> None:
        self._transform = transform
        self._open: dict[tuple[int, int], _OpenText | _OpenCall] = {}

    def take(self, piece: Piece) -> list[Piece]:
        """What may be shown by now. Raises Fault for arguments that never end."""
        match piece:
            case Begun():
                return [self._begin(piece)]
            case Grown():
                growing = self._open.get((piece.choice, piece.number))
                return [piece] if growing is None else growing.grow(piece)
            case Ended():
                return [*self._end(piece.choice, piece.number), piece]
            case Finished():
                due = [key for key in self._open if key[0] == piece.choice]
                return [*(left for key in due for left in self._end(*key)), piece]
            case _:
                return [piece]

    def _begin(self, piece: Begun) -> Piece:
        part, key = piece.part, (piece.choice, piece.number)
        match part:
            case Text() | Refusal() | Thinking():
                text = _OpenText(self._transform, part)
                self._open[key] = text
                return replace(piece, part=text.begun)
            case ToolCall():
                self._open[key] = _OpenCall(self._transform, part)
                return replace(piece, part=replace(part, arguments="", signature=""))
            case Opaque():
                return replace(piece, part=_opaque(part, self._transform))

    def _end(self, choice: int, number: int) -> list[Piece]:
        growing = self._open.pop((choice, number), None)
        return [] if growing is None else growing.end(choice, number)


class _OpenText:
    """A text, a refusal, or a thought with its proof."""

    def __init__(self, transform: Transform, part: Text | Refusal | Thinking) -> None:
        self._stream: Inward = transform.inward_stream()
        self._came: list[str] = []
        self._gone: list[str] = []
        self._signature = self._sealed = ""
        self._thinks = isinstance(part, Thinking)
        if isinstance(part, Thinking):
            self._signature, self._sealed = part.signature, part.sealed
            part = replace(part, signature="", sealed="")
        self.begun: Text | Refusal | Thinking = replace(part, text=self._feed(part.text))

    def grow(self, piece: Grown) -> list[Piece]:
        self._signature += piece.signature
        self._sealed += piece.sealed
        text = self._feed(piece.text)
        return [replace(piece, text=text, signature="", sealed="")] if text else []

    def end(self, choice: int, number: int) -> list[Piece]:
        rest = self._stream.flush()
        last: list[Piece] = [Grown(number, text=rest, choice=choice)] if rest else []
        proof = self._signature or self._sealed
        if proof and "".join((*self._gone, rest)) == "".join(self._came):
            last.append(Grown(number, signature=self._signature, sealed=self._sealed, choice=choice))
        return last

    def _feed(self, text: str) -> str:
        shown = self._stream.feed(text) if text else ""
        if self._thinks:
            self._came.append(text)
            self._gone.append(shown)
        return shown


class _OpenCall:
    """A call whose arguments are still to come."""

    def __init__(self, transform: Transform, part: ToolCall) -> None:
        self._transform = transform
        self._part = part
        self._arguments = [part.arguments]
        self._left = ARGUMENTS_MAX_CHARACTERS - len(part.arguments)

    def grow(self, piece: Grown) -> list[Piece]:
        self._left -= len(piece.arguments)
        if self._left < 0:
            raise Fault(FaultKind.GARBAGE, "the arguments of a tool call are too long to be screened", sent=True)
        self._arguments.append(piece.arguments)
        self._part = replace(self._part, signature=self._part.signature + piece.signature)
        return []

    def end(self, choice: int, number: int) -> list[Piece]:
        call = _call(self._part, "".join(self._arguments), self._transform)
        if not call.arguments and not call.signature:
            return []
        return [Grown(number, arguments=call.arguments, signature=call.signature, choice=choice)]
