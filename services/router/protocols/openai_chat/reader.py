"""A provider's streamed chat completion, read into pieces. Pure."""

import re
import zlib
from collections.abc import Sequence

from services.router.fault import Fault, FaultKind
from services.router.protocols.answer import Counted, Opened, Piece
from services.router.protocols.openai_chat.chunk import DONE, Chunk, read_chunk
from services.router.protocols.openai_chat.grow import Growing
from services.router.protocols.openai_chat.tap import is_whole, note
from services.router.protocols.protocol import Sort, Told
from services.router.sse import SseEvent

CHOICES_MAX = 128
BASE_MAX_CHARS = 24
_NOT_OF_IDS = re.compile(r"[^A-Za-z0-9]")


class ChatReader:
    """One stream. The pieces that close it come from `end`: until then a provider may still add a call."""

    __slots__ = ("_choices", "_opened", "done", "told")

    def __init__(self) -> None:
        self.told = Told()
        self.done = False
        self._choices: dict[int, Growing] = {}
        self._opened = False

    def read(self, event: SseEvent) -> tuple[Sort, Sequence[Piece]]:
        """Raises Fault for an error event and for what is no chunk."""
        data = event.data
        if data is None or not data.strip():
            return Sort.NOISE, ()
        if data == DONE:
            self.done = True
            if is_whole(self.told, self.done):
                self.told.finish = self.told.finish or "stop"
            return Sort.DONE, ()
        chunk = read_chunk(event, data)
        if chunk is None:
            raise Fault(FaultKind.GARBAGE, "the provider's stream is not of chat completions", sent=True)
        sort = note(self.told, chunk, data)
        pieces = self._open() if chunk.choices or chunk.usage else []
        return sort, pieces + self._take(chunk, data)

    def end(self) -> Sequence[Piece]:
        """Raises Fault when no reason to stop was given and no end put to what there was."""
        if not is_whole(self.told, self.done):
            raise Fault(FaultKind.TRANSIENT, "the provider's stream ended early", sent=True)
        pieces = self._open()
        for number in sorted(self._choices):
            pieces += self._choices[number].close()
        return pieces

    def _open(self) -> list[Piece]:
        if self._opened:
            return []
        self._opened = True
        return [Opened(self.told.id, self.told.model)]

    def _take(self, chunk: Chunk, data: bytes) -> list[Piece]:
        pieces: list[Piece] = []
        for choice in chunk.choices or ():
            growing = self._choice(choice.index, data)
            pieces += growing.take(choice.delta or {})
            growing.finish = choice.finish_reason or growing.finish
        if chunk.usage and self.told.usage is not None:
            pieces.append(Counted(self.told.usage))
        return pieces

    def _choice(self, number: int, data: bytes) -> Growing:
        found = self._choices.get(number)
        if found is None:
            if not 0 <= number < CHOICES_MAX:
                raise Fault(FaultKind.GARBAGE, "the provider's stream numbers its choices without sense", sent=True)
            found = self._choices[number] = Growing(number, base_of(self.told.id, data))
        return found


def base_of(answer_id: str, data: bytes) -> str:
    """What tells the made ids of one answer from those of another."""
    kept = _NOT_OF_IDS.sub("", answer_id)[-BASE_MAX_CHARS:]
    return kept or f"{zlib.crc32(data):08x}"
