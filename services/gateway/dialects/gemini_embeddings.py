"""Gemini embedContent and batchEmbedContents. Field names come in either spelling, as everywhere in proto JSON."""

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import Embeddings, EmbedRequest, Loss
from services.gateway.dialects import head
from services.gateway.dialects.embeddings import dimensions


class _Part(msgspec.Struct, frozen=True):
    text: str | None = None


class _Content(msgspec.Struct, frozen=True):
    parts: list[_Part]


class _Config(msgspec.Struct, frozen=True):
    task_camel: str = msgspec.field(default="", name="taskType")
    task_snake: str = msgspec.field(default="", name="task_type")
    title: str = ""
    size_camel: int | None = msgspec.field(default=None, name="outputDimensionality")
    size_snake: int | None = msgspec.field(default=None, name="output_dimensionality")

    @property
    def size(self) -> int:
        size = self.size_camel if self.size_camel is not None else self.size_snake
        return dimensions(size, "outputDimensionality")


class _One(_Config, frozen=True):
    content: _Content = _Content([])
    config_camel: _Config | None = msgspec.field(default=None, name="embedContentConfig")
    config_snake: _Config | None = msgspec.field(default=None, name="embed_content_config")

    @property
    def config(self) -> _Config:
        return self.config_camel or self.config_snake or self


class _Batch(msgspec.Struct, frozen=True):
    requests: list[_One]


class _Vector(msgspec.Struct, frozen=True):
    values: list[float]


class _Usage(msgspec.Struct, frozen=True):
    tokens: int = msgspec.field(name="promptTokenCount")


class _OneAnswer(msgspec.Struct, frozen=True):
    embedding: _Vector
    usage: _Usage = msgspec.field(name="usageMetadata")


class _BatchAnswer(msgspec.Struct, frozen=True):
    embeddings: list[_Vector]
    usage: _Usage = msgspec.field(name="usageMetadata")


_ones = msgspec.json.Decoder(_One)
_batches = msgspec.json.Decoder(_Batch)


def read_one(model: str, body: bytes) -> tuple[EmbedRequest, tuple[Loss, ...]]:
    """Raises Failure(INVALID) that names the field at fault."""
    one = head.read(_ones, body)
    return EmbedRequest(model, [_text(one, "content")], one.config.size), _losses([one])


def read_batch(model: str, body: bytes) -> tuple[EmbedRequest, tuple[Loss, ...]]:
    """Raises Failure(INVALID) that names the field at fault."""
    found = head.read(_batches, body).requests
    if not found:
        raise Failure(Code.INVALID, "requests must not be empty", param="requests")
    sizes = {one.config.size for one in found}
    if len(sizes) > 1:
        raise Failure(Code.INVALID, "all requests must ask for the same outputDimensionality", param="requests")
    texts = [_text(one, f"requests[{index}].content") for index, one in enumerate(found)]
    return EmbedRequest(model, texts, sizes.pop()), _losses(found)


def write_one(embeddings: Embeddings) -> bytes:
    """The answer of embedContent."""
    usage = _Usage(embeddings.served.usage.input)
    return msgspec.json.encode(_OneAnswer(_Vector(embeddings.vectors[0]), usage))


def write_batch(embeddings: Embeddings) -> bytes:
    """The answer of batchEmbedContents."""
    usage = _Usage(embeddings.served.usage.input)
    return msgspec.json.encode(_BatchAnswer([_Vector(vector) for vector in embeddings.vectors], usage))


def _text(one: _One, field: str) -> str:
    """The texts of its parts, a line each."""
    texts = [part.text for part in one.content.parts if part.text]
    if not texts or len(texts) < len(one.content.parts):
        raise Failure(Code.INVALID, f"{field} must have parts with text, and no others", param=field)
    return "\n".join(texts)


def _losses(found: list[_One]) -> tuple[Loss, ...]:
    losses = []
    if any(one.config.task_camel or one.config.task_snake for one in found):
        losses.append(Loss("taskType", "not passed on: the vectors are the model's own for any use"))
    if any(one.config.title for one in found):
        losses.append(Loss("title", "not passed on"))
    return tuple(losses)
