"""A streamed answer, read into pieces. Pure.

Words come in pieces, calls come whole. Words that go on in the next event are the same part, until a signature or
another part closes it.
"""

from collections.abc import Sequence

from services.router.protocols.answer import AnswerPart, Begun, Counted, Ended, Finish, Finished, Grown, Opened, Piece
from services.router.protocols.gemini_generate.answer import CallIds, answer_parts, beside
from services.router.protocols.gemini_generate.fields import Malformed, flag
from services.router.protocols.gemini_generate.finish import finish_of
from services.router.protocols.gemini_generate.response import Candidate, Response, Shown
from services.router.protocols.gemini_generate.tap import DONE, note, read_event, too_soon
from services.router.protocols.part import Text, Thinking, ToolCall
from services.router.protocols.protocol import Sort, Told
from services.router.sse import SseEvent


class _Growing:
    """One candidate. `last`: the part that may still grow."""

    __slots__ = ("calls", "count", "last", "reason")

    def __init__(self) -> None:
        self.count = 0
        self.last: Text | Thinking | None = None
        self.calls = False
        self.reason = ""


class GeminiReader:
    """One stream."""

    __slots__ = ("_choices", "_ids", "_opened", "done", "told")

    def __init__(self) -> None:
        self.told = Told()
        self.done = False
        self._choices: dict[int, _Growing] = {}
        self._ids: CallIds | None = None
        self._opened = False

    def read(self, event: SseEvent) -> tuple[Sort, Sequence[Piece]]:
        if event.data == DONE:
            self.done = True
            return Sort.DONE, ()
        response = read_event(event)
        if response is None:
            return Sort.NOISE, ()
        try:
            return note(self.told, response), self._pieces(response, event.data or b"")
        except Malformed as error:
            raise error.garbage() from None

    def end(self) -> Sequence[Piece]:
        """Closes what is open. Which reason each choice ended for is known only now."""
        pieces: list[Piece] = []
        if not self.told.finish or any(not choice.reason for choice in self._choices.values()):
            raise too_soon()
        for number, choice in sorted(self._choices.items()):
            pieces += self._close(number, choice)
            pieces.append(Finished(finish_of(choice.reason, calls=choice.calls), choice=number))
        if not self._choices:
            pieces.append(Finished(Finish.FILTERED))
        return pieces

    def _pieces(self, response: Response, data: bytes) -> list[Piece]:
        pieces: list[Piece] = []
        if not self._opened:
            self._opened = True
            pieces.append(Opened(response.id, response.model))
        if self._ids is None:
            self._ids = CallIds(response.id or data)
        for candidate in response.candidates:
            self._read(candidate, self._ids, pieces)
        if response.usage is not None:
            pieces.append(Counted(response.usage))
        return pieces

    def _read(self, candidate: Candidate, ids: CallIds, pieces: list[Piece]) -> None:
        number = candidate.number
        choice = self._choices.setdefault(number, _Growing())
        continued = True
        for place, piece in enumerate(candidate.parts):
            for part in answer_parts(piece, f"candidates.{number}.content.parts.{place}", ids, number):
                self._add(part, number, choice, pieces, goes_on=continued and _may_go_on(part, piece))
                continued = False
        for part in beside(candidate):
            self._add(part, number, choice, pieces, goes_on=False)
        if candidate.reason:
            choice.reason = candidate.reason
            finish_of(choice.reason, calls=choice.calls)  # a failure is told as soon as it is known

    def _add(self, part: AnswerPart, number: int, choice: _Growing, pieces: list[Piece], *, goes_on: bool) -> None:
        """`goes_on`: the part is the first of its event, and may be more of the last one before."""
        last = choice.last
        if goes_on and isinstance(last, Text) and isinstance(part, Text):
            pieces.append(Grown(choice.count - 1, text=part.text, choice=number))
            return
        if goes_on and isinstance(last, Thinking) and isinstance(part, Thinking):
            pieces.append(Grown(choice.count - 1, text=part.text, signature=part.signature, choice=number))
            if part.signature:
                pieces += self._close(number, choice)
            return
        pieces += self._close(number, choice)
        pieces.append(Begun(part, choice.count, number))
        choice.count += 1
        choice.calls = choice.calls or isinstance(part, ToolCall)
        if isinstance(part, Text) or (isinstance(part, Thinking) and not part.signature):
            choice.last = part
        else:
            pieces.append(Ended(choice.count - 1, number))

    def _close(self, number: int, choice: _Growing) -> list[Piece]:
        if choice.last is None:
            return []
        choice.last = None
        return [Ended(choice.count - 1, number)]


def _may_go_on(part: AnswerPart, piece: Shown) -> bool:
    """A signature alone belongs to the thoughts before it only where it says that it is one of them."""
    if isinstance(part, Thinking) and not part.text:
        return flag(piece.fields, "thought", "part") is True
    return True
