"""OpenAI embeddings: texts in, floats or base64 of little-endian float32 out."""

import base64
import struct

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import Embeddings, EmbedRequest, Loss
from services.gateway.dialects import head

BASE64 = "base64"
FORMATS = ("float", BASE64)
_TOKENS = "lists of tokens are not taken, since they mean something to one tokenizer only: send texts"


class _Request(msgspec.Struct, frozen=True):
    model: str
    input: str | list[str | int | list[int]]
    encoding_format: str | None = None
    dimensions: int | None = None
    user: str | None = None


class _Embedding(msgspec.Struct, frozen=True):
    object: str
    index: int
    embedding: list[float] | str


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int
    total_tokens: int


class _Answer(msgspec.Struct, frozen=True):
    object: str
    data: list[_Embedding]
    model: str
    usage: _Usage


class Asked(msgspec.Struct, frozen=True):
    """`encoding`: one of FORMATS."""

    request: EmbedRequest
    encoding: str
    losses: tuple[Loss, ...] = ()


_requests = msgspec.json.Decoder(_Request)


def read(body: bytes) -> Asked:
    """Raises Failure(INVALID) that names the field at fault."""
    found = head.read(_requests, body)
    texts: list[str] = []
    for one in [found.input] if isinstance(found.input, str) else found.input:
        if not isinstance(one, str):
            raise Failure(Code.INVALID, _TOKENS, param="input")
        texts.append(one)
    if not texts or not all(texts):
        raise Failure(Code.INVALID, "input must be a text or a list of texts, none of them empty", param="input")
    encoding = found.encoding_format or FORMATS[0]
    if encoding not in FORMATS:
        raise Failure(Code.INVALID, "encoding_format must be float or base64", param="encoding_format")
    losses = (Loss("user", "not passed on"),) if found.user else ()
    request = EmbedRequest(head.named(found.model), texts, dimensions(found.dimensions, "dimensions"))
    return Asked(request, encoding, losses)


def dimensions(wanted: int | None, field: str) -> int:
    """0 where nothing was asked for. Raises Failure(INVALID)."""
    if wanted is not None and wanted < 1:
        raise Failure(Code.INVALID, f"{field} must be at least 1", param=field)
    return wanted or 0


def write(model: str, embeddings: Embeddings, encoding: str) -> bytes:
    """The answer; `model` as the caller named it."""
    data = [
        _Embedding("embedding", index, _base64(vector) if encoding == BASE64 else vector)
        for index, vector in enumerate(embeddings.vectors)
    ]
    tokens = embeddings.served.usage.input
    return msgspec.json.encode(_Answer("list", data, model, _Usage(tokens, tokens)))


def _base64(vector: list[float]) -> str:
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except OverflowError:
        raise Failure(Code.UPSTREAM, "a vector has numbers too large for float32") from None
