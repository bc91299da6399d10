"""The OpenAI dialect: what the edge reads of a request and how it lists models. Pure."""

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import Models


class ChatHead(msgspec.Struct, frozen=True):
    """What is decided on at the edge; everything else travels untouched."""

    model: str
    messages: msgspec.Raw
    stream: bool | None = None


_heads = msgspec.json.Decoder(ChatHead)


class _Model(msgspec.Struct, frozen=True):
    id: str
    object: str
    created: int
    owned_by: str


class _ModelList(msgspec.Struct, frozen=True):
    object: str
    data: list[_Model]


def chat_head(body: bytes) -> ChatHead:
    """The head of a chat completion request. Raises Failure(INVALID) that names the field at fault."""
    try:
        head = _heads.decode(body)
    except msgspec.ValidationError as error:
        raise Failure(Code.INVALID, str(error), param=_field(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Failure(Code.INVALID, "the body is not valid JSON") from error
    if not bytes(head.messages).lstrip().startswith(b"["):
        raise Failure(Code.INVALID, "messages must be a list", param="messages")
    if not head.model:
        raise Failure(Code.INVALID, "model must name a model", param="model")
    return head


def _field(error: str) -> str:
    for quote, end in (("field `", "`"), ("at `$.", "`")):
        start = error.find(quote)
        if start >= 0:
            return error[start + len(quote) : error.index(end, start + len(quote))]
    return ""


def model_list(models: Models) -> bytes:
    """GET /v1/models"""
    return msgspec.json.encode(
        _ModelList("list", [_Model(m.id, "model", 0, m.owned_by or "penstock") for m in models.models])
    )


def one_model(models: Models, id: str) -> bytes:
    """GET /v1/models/{id}. Raises Failure(NOT_FOUND)."""
    for model in models.models:
        if model.id == id:
            return msgspec.json.encode(_Model(model.id, "model", 0, model.owned_by or "penstock"))
    raise Failure(Code.NOT_FOUND, f"there is no model {id[:80]!r} that you may use", param="model")
