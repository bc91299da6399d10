"""count_tokens: a request for an answer as one for a count, and what it comes to. Pure."""

import msgspec

from services.router.fault import Fault, FaultKind

OF_ANSWERS = (
    "max_tokens",
    "stream",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "metadata",
    "service_tier",
    "container",
    "inference_geo",
)
"""Fields that say how to answer; a request to count that has them is refused."""


class _Count(msgspec.Struct):
    input_tokens: int


def count_request(request: bytes, model: str) -> bytes:
    """`request`: as it would be sent to `model` for an answer."""
    fields = msgspec.json.decode(request, type=dict[str, msgspec.Raw])
    for name in OF_ANSWERS:
        fields.pop(name, None)
    return msgspec.json.encode(fields)


def read_count(answer: bytes) -> int:
    """The tokens that Anthropic counted. Raises Fault."""
    try:
        return msgspec.json.decode(answer, type=_Count).input_tokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Fault(FaultKind.GARBAGE, "the provider's answer is not a count") from None
