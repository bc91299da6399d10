"""How well passages match, and how two orders become one. Pure.

BM25 as in Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), with the idf that is
never negative; reciprocal rank fusion as in Cormack, Clarke and Buettcher (SIGIR 2009).
"""

from collections.abc import Sequence
from math import log

import numpy as np
from numpy.typing import NDArray

K1 = 1.2
B = 0.75
FUSION = 60

Floats = NDArray[np.float32]


def idf(passages: int, containing: int) -> float:
    """How much a word says that so many of the passages contain."""
    return log(1 + (passages - containing + 0.5) / (containing + 0.5))


def bm25(frequencies: Floats, lengths: Floats, average_length: float, weight: float) -> Floats:
    """What one word, with this idf, adds to the passages in which it stands so many times."""
    norm = K1 * (1 - B + B * lengths / max(average_length, 1e-9))
    return (weight * frequencies * (K1 + 1) / (frequencies + norm)).astype(np.float32)


def unit(vectors: Floats) -> Floats:
    """Rows of length one, so that their products are cosines; rows of zeros stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.where(lengths == 0, 1, lengths)).astype(np.float32)


def best(numbers: NDArray[np.int64], scores: Floats, limit: int) -> list[int]:
    """The numbers of the best positive scores, best first; of equal ones the lower number."""
    kept = np.flatnonzero(scores > 0)
    if len(kept) > limit:
        kept = kept[np.argpartition(scores[kept], -limit)[-limit:]]
    order = np.lexsort((numbers[kept], -scores[kept]))
    return [int(number) for number in numbers[kept[order]]]


def fused(orders: Sequence[Sequence[int]], limit: int) -> list[tuple[int, float]]:
    """One order from several, with its scores: what stands high in many stands high."""
    scores: dict[int, float] = {}
    for order in orders:
        for rank, number in enumerate(order, start=1):
            scores[number] = scores.get(number, 0.0) + 1 / (FUSION + rank)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:limit]
