"""From pieces to the whole answer and back. Pure."""

from collections.abc import Iterable, Iterator

import msgspec

from penstock.contracts.llm import Usage
from services.router.protocols.answer import (
    Answer,
    AnswerPart,
    Begun,
    Choice,
    Counted,
    Ended,
    Finish,
    Finished,
    Grown,
    Opened,
    Piece,
)
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall


class _Open:
    """A choice that still grows."""

    def __init__(self) -> None:
        self.parts: list[AnswerPart] = []
        self.finish = Finish.STOP
        self.stop_sequence = ""

    def whole(self) -> Choice:
        return Choice(tuple(self.parts), self.finish, self.stop_sequence)


class Fold:
    """Takes the pieces one by one; `answer` at any time."""

    def __init__(self) -> None:
        self._choices: dict[int, _Open] = {}
        self._id = ""
        self._model = ""
        self._usage: Usage | None = None

    def take(self, piece: Piece) -> None:
        """Raises IndexError for a piece of a part that never began."""
        match piece:
            case Opened():
                self._id, self._model = piece.id, piece.model
            case Begun():
                parts = self._choice(piece.choice).parts
                if piece.number != len(parts):
                    raise IndexError(f"part {piece.number} begins after {len(parts)} parts")
                parts.append(piece.part)
            case Grown():
                parts = self._choice(piece.choice).parts
                parts[piece.number] = grown(parts[piece.number], piece)
            case Finished():
                choice = self._choice(piece.choice)
                choice.finish, choice.stop_sequence = piece.finish, piece.stop_sequence
            case Counted():
                self._usage = piece.usage
            case Ended():
                pass

    @property
    def answer(self) -> Answer:
        """What the pieces so far make."""
        choices = tuple(self._choices[number].whole() for number in sorted(self._choices))
        return Answer(choices, self._id, self._model, self._usage)

    def _choice(self, number: int) -> _Open:
        return self._choices.setdefault(number, _Open())


def fold(pieces: Iterable[Piece]) -> Answer:
    """The whole answer."""
    folding = Fold()
    for piece in pieces:
        folding.take(piece)
    return folding.answer


def unfold(answer: Answer) -> Iterator[Piece]:
    """The answer as a stream of few pieces: for what came whole and is wanted as a stream."""
    yield Opened(answer.id, answer.model)
    for at, choice in enumerate(answer.choices):
        for number, part in enumerate(choice.parts):
            yield Begun(part, number, at)
            yield Ended(number, at)
        yield Finished(choice.finish, choice.stop_sequence, at)
    if answer.usage is not None:
        yield Counted(answer.usage)


def grown(part: AnswerPart, piece: Grown) -> AnswerPart:
    """The part with what the piece adds; what a part does not have does not grow."""
    match part:
        case Text() | Refusal():
            return msgspec.structs.replace(part, text=part.text + piece.text)
        case Thinking():
            return msgspec.structs.replace(
                part,
                text=part.text + piece.text,
                signature=part.signature + piece.signature,
                sealed=part.sealed + piece.sealed,
            )
        case ToolCall():
            return msgspec.structs.replace(
                part, arguments=part.arguments + piece.arguments, signature=part.signature + piece.signature
            )
        case Opaque():
            return part
