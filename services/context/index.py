"""One collection in memory: words and vectors of its passages, changed document by document. No clock, no I/O."""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.context.rank import Floats, best, bm25, fused, idf, unit
from services.context.split import Piece
from services.context.words import words

CANDIDATES = 100
"""Of each kind of match, so many take part in the fusion."""
_COMPACT_ABOVE = 1000
_PASSAGE_BYTES = 600
_TERM_BYTES = 200


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """What a document gives to the index. `vectors` has a row for each piece, made by `model`, or is None."""

    id: str
    source: str
    revision: str
    pieces: Sequence[Piece]
    model: str = ""
    vectors: Floats | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """`vector` was made by `model`; without it words alone are matched."""

    text: str
    model: str = ""
    vector: Floats | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that matches. `score` orders one answer."""

    document: str
    source: str
    piece: Piece
    score: float


@dataclass(slots=True)
class _Held:
    document: IndexedDocument
    first: int


class Index:
    """Passages are numbered as they come; a document that is replaced leaves its numbers dead until there are many."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._owners: list[tuple[str, int]] = []
        self._alive = bytearray()
        self._lengths = array("f")
        self._postings: dict[str, array[int]] = {}
        self._vectors: dict[str, _Vectors] = {}
        self._total_length = 0.0
        self._dead = 0
        self._text_bytes = 0

    @property
    def revisions(self) -> dict[str, str]:
        """Which revision of each document is here."""
        return {id: held.document.revision for id, held in self._held.items()}

    @property
    def passages(self) -> int:
        return len(self._owners) - self._dead

    @property
    def bytes(self) -> int:
        """An estimate of the memory this takes."""
        vectors = sum(vectors.bytes for vectors in self._vectors.values())
        postings = sum(len(posting) for posting in self._postings.values()) * 4
        return (
            self._text_bytes
            + len(self._owners) * _PASSAGE_BYTES
            + len(self._postings) * _TERM_BYTES
            + postings
            + vectors
        )

    def put(self, document: IndexedDocument, counts: Sequence[Counter[str]]) -> None:
        """In place of the same document's older revision. `counts` is what `counted` gives."""
        self.remove(document.id)
        first = len(self._owners)
        self._held[document.id] = _Held(document, first)
        for offset, (piece, count) in enumerate(zip(document.pieces, counts, strict=True)):
            self._add_words(first + offset, count)
            self._owners.append((document.id, offset))
            self._alive.append(True)
            self._text_bytes += len(piece.text) + len(piece.title)
        if document.vectors is not None and document.pieces:
            self._vectors.setdefault(document.model, _Vectors()).add(first, unit(document.vectors))

    def remove(self, id: str) -> None:
        """Nothing happens when it is not here."""
        held = self._held.pop(id, None)
        if held is None:
            return
        for offset, piece in enumerate(held.document.pieces):
            self._alive[held.first + offset] = False
            self._total_length -= self._lengths[held.first + offset]
            self._text_bytes -= len(piece.text) + len(piece.title)
        self._dead += len(held.document.pieces)
        if self._dead > _COMPACT_ABOVE and self._dead > len(self._owners) // 4:
            self._compact()

    def search(self, query: Query, limit: int) -> list[Hit]:
        """The best passages, best first."""
        if not self.passages:
            return []
        alive = np.array(self._alive, dtype=np.bool_)
        orders = [self._by_words(query.text, alive)]
        vectors = self._vectors.get(query.model)
        if query.vector is not None and vectors is not None and vectors.dimensions == len(query.vector):
            orders.append(vectors.nearest(unit(query.vector), alive))
        return [self._hit(number, score) for number, score in fused(orders, limit)]

    def _hit(self, number: int, score: float) -> Hit:
        id, offset = self._owners[number]
        document = self._held[id].document
        return Hit(document.id, document.source, document.pieces[offset], score)

    def _add_words(self, number: int, count: Counter[str]) -> None:
        for word, times in count.items():
            posting = self._postings.get(word)
            if posting is None:
                posting = self._postings[word] = array("I")
            posting.append(number << 8 | min(times, 255))
        self._lengths.append(count.total())
        self._total_length += count.total()

    def _by_words(self, text: str, alive: NDArray[np.bool_]) -> list[int]:
        scores = np.zeros(len(self._owners), dtype=np.float32)
        lengths = np.array(self._lengths, dtype=np.float32)
        average = self._total_length / max(self.passages, 1)
        for word in dict.fromkeys(words(text)):
            posting = self._postings.get(word)
            if posting is None:
                continue
            packed = np.array(posting, dtype=np.uint32)
            numbers = packed >> 8
            weight = idf(self.passages, int(alive[numbers].sum()))
            scores[numbers] += bm25((packed & 255).astype(np.float32), lengths[numbers], average, weight)
        scores[~alive] = 0
        return best(np.arange(len(scores)), scores, CANDIDATES)

    def _compact(self) -> None:
        """Numbers the living anew."""
        alive = np.array(self._alive, dtype=np.bool_)
        renumbered = np.cumsum(alive) - 1
        self._owners = [owner for owner, lives in zip(self._owners, self._alive, strict=True) if lives]
        self._alive = bytearray(b"\1" * len(self._owners))
        self._lengths = array("f", np.array(self._lengths, dtype=np.float32)[alive].tobytes())
        for held in self._held.values():
            held.first = int(renumbered[held.first]) if held.document.pieces else 0
        for word, posting in list(self._postings.items()):
            packed = np.array(posting, dtype=np.uint32)
            packed = packed[alive[packed >> 8]]
            if len(packed):
                numbers = renumbered[packed >> 8].astype(np.uint32)
                self._postings[word] = array("I", (numbers << 8 | packed & 255).astype(np.uint32).tobytes())
            else:
                del self._postings[word]
        for model, vectors in list(self._vectors.items()):
            if not vectors.compact(alive, renumbered):
                del self._vectors[model]
        self._dead = 0


def counted(document: IndexedDocument) -> list[Counter[str]]:
    """How often each word is in each of the passages and their titles: the slow part, for another thread."""
    return [Counter(words(f"{piece.title}\n{piece.text}")) for piece in document.pieces]


class _Vectors:
    """Rows of length one, and the number of the passage of each. Room doubles as it is needed."""

    def __init__(self) -> None:
        self.dimensions = 0
        self._rows: Floats = np.zeros((0, 0), dtype=np.float32)
        self._numbers: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._used = 0

    @property
    def bytes(self) -> int:
        return self._rows.nbytes + self._numbers.nbytes

    def add(self, first: int, rows: Floats) -> None:
        """Rows of another length than the first ones are left out: they belong to another model of the same name."""
        if not self._used:
            self.dimensions = rows.shape[1]
            self._rows = np.zeros((0, self.dimensions), dtype=np.float32)
        if rows.shape[1] != self.dimensions:
            return
        needed = self._used + len(rows)
        if needed > len(self._rows):
            room = max(needed, len(self._rows) * 2)
            self._rows = np.concatenate(
                [self._rows[: self._used], np.zeros((room - self._used, self.dimensions), np.float32)]
            )
            self._numbers = np.concatenate([self._numbers[: self._used], np.zeros(room - self._used, np.int64)])
        self._rows[self._used : needed] = rows
        self._numbers[self._used : needed] = np.arange(first, first + len(rows))
        self._used = needed

    def nearest(self, vector: Floats, alive: NDArray[np.bool_]) -> list[int]:
        numbers = self._numbers[: self._used]
        cosines = self._rows[: self._used] @ vector
        cosines[~alive[numbers]] = 0
        return best(numbers, cosines, CANDIDATES)

    def compact(self, alive: NDArray[np.bool_], renumbered: NDArray[np.int64]) -> bool:
        """Whether any row is left."""
        numbers = self._numbers[: self._used]
        kept = alive[numbers]
        self._rows = self._rows[: self._used][kept]
        self._numbers = renumbered[numbers[kept]]
        self._used = len(self._numbers)
        return self._used > 0
