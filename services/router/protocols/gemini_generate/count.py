"""countTokens: a request for an answer as one for a count, and what it comes to. Pure."""

import msgspec

from services.router.fault import Fault, FaultKind


class _Whole(msgspec.Struct):
    request: dict[str, msgspec.Raw] = msgspec.field(name="generateContentRequest")


class _Count(msgspec.Struct):
    """Proto JSON leaves out a zero."""

    total: int = msgspec.field(name="totalTokens", default=0)


def count_request(request: bytes, model: str) -> bytes:
    """`request`: as it would be sent to `model` for an answer. Instructions and tools are counted only within a whole
    request, which must name its model."""
    fields = msgspec.json.decode(request, type=dict[str, msgspec.Raw])
    fields["model"] = msgspec.Raw(msgspec.json.encode(f"models/{model.removeprefix('models/')}"))
    return msgspec.json.encode(_Whole(fields))


def read_count(answer: bytes) -> int:
    """The tokens that Gemini counted. Raises Fault."""
    try:
        return msgspec.json.decode(answer, type=_Count).total
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Fault(FaultKind.GARBAGE, "the provider's answer is not a count") from None
