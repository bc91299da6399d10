"""Embeddings on the OpenAI wire: the request, and the vectors out of the answer. Pure."""

import msgspec

from services.router.fault import NOTHING, Fault, FaultKind, is_nothing, read_error, told
from services.router.protocols.openai_chat.usage import Reported, counted
from services.router.protocols.protocol import Told


class _Vector(msgspec.Struct):
    embedding: list[float]
    index: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Vector] | None = None
    usage: Reported | None = None
    error: msgspec.Raw = NOTHING
    model: str = ""


_ANSWER = msgspec.json.Decoder(_Answer)


def request(model: str, texts: list[str], dimensions: int = 0) -> bytes:
    """Vectors as lists of numbers are every provider's default, and some refuse to be asked for it. `dimensions` 0: as
    many as the model has."""
    asked: dict[str, object] = {"model": model, "input": texts}
    if dimensions:
        asked["dimensions"] = dimensions
    return msgspec.json.encode(asked)


def read(body: bytes, count: int) -> tuple[list[list[float]], Told]:
    """One vector per text, in the texts' order, all of one length. Raises Fault for anything else."""
    try:
        answer = _ANSWER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _garbage("is not a list of embeddings") from None
    if not is_nothing(answer.error):
        raise told(read_error(answer.error))
    vectors: list[list[float]] = [[] for _ in range(count)]
    found = answer.data or []
    if len(found) != count:
        raise _garbage(f"holds {len(found)} vectors for {count} texts")
    for place, vector in enumerate(found):
        index = place if vector.index is None else vector.index
        if not 0 <= index < count or vectors[index] or not vector.embedding:
            raise _garbage("has vectors in places that were not asked for")
        vectors[index] = vector.embedding
    if len({len(vector) for vector in vectors}) > 1:
        raise _garbage("has vectors of different lengths")
    usage = None if answer.usage is None else counted(answer.usage)
    return vectors, Told(usage, "", answer.model)


def _garbage(what: str) -> Fault:
    return Fault(FaultKind.GARBAGE, f"the provider's answer {what}", sent=True)
