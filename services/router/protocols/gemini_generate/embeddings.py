"""Embeddings on Gemini's wire: the request (batchEmbedContents), and the vectors out of the answer. Pure."""

from collections.abc import Sequence

import msgspec

from penstock.contracts.llm import Usage
from services.router.fault import Fault, FaultKind
from services.router.protocols.gemini_generate.counts import read_counts
from services.router.protocols.gemini_generate.fields import Fields, Malformed, checked, fields, items
from services.router.protocols.gemini_generate.finish import fault_of
from services.router.protocols.protocol import Told


def request(model: str, texts: Sequence[str], dimensions: int = 0) -> bytes:
    """`dimensions` 0: as many as the model has. One text is a batch too."""
    each: dict[str, object] = {"model": f"models/{model.removeprefix('models/')}"}
    if dimensions:
        each["outputDimensionality"] = dimensions
    return msgspec.json.encode({"requests": [{**each, "content": {"parts": [{"text": one}]}} for one in texts]})


def read(body: bytes, count: int) -> tuple[list[list[float]], Told]:
    """One vector per text, in the texts' order, all of one length. Raises Fault for anything else."""
    try:
        found = fields(checked(body), "the answer")
        if "error" in found:
            raise fault_of(found["error"])
        vectors = [_values(raw, f"embeddings.{number}") for number, raw in enumerate(_vectors(found))]
        usage = read_counts(found["usageMetadata"]) if "usageMetadata" in found else None
    except Malformed as error:
        raise error.garbage() from None
    if len(vectors) != count:
        raise _garbage(f"holds {len(vectors)} vectors for {count} texts")
    if len({len(vector) for vector in vectors}) > 1 or not all(vectors):
        raise _garbage("has vectors of different lengths")
    return vectors, Told(None if usage is None else Usage(uncached=usage.input))


def _vectors(found: Fields) -> list[msgspec.Raw]:
    single = found.get("embedding")
    return items(found.get("embeddings"), "embeddings") if single is None else [single]


def _values(raw: msgspec.Raw, path: str) -> list[float]:
    values = fields(raw, path).get("values")
    try:
        return [] if values is None else msgspec.json.decode(values, type=list[float])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Malformed(f"{path}.values", "must be numbers") from None


def _garbage(what: str) -> Fault:
    return Fault(FaultKind.GARBAGE, f"the provider's answer {what}", sent=True)
