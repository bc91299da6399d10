"""A Messages request: what a decision needs of it is read, and little of it is replaced. Pure."""

import re
from collections.abc import Mapping

import msgspec

from penstock.contracts.errors import Code, Failure
from services.router.estimate import Size
from services.router.fault import NOTHING, is_nothing
from services.router.protocols.anthropic_messages import carried
from services.router.protocols.anthropic_messages.read_request import read_prompt
from services.router.protocols.anthropic_messages.refuse import Reading, invalid
from services.router.protocols.prompt import Prompt
from services.router.protocols.protocol import Needs, Target

_IN_LINE = re.compile(rb'"data"\s*:\s*"[A-Za-z0-9+/=_-]{256,}"')
_PDF = b'"application/pdf"'
_PDF_IN_IMAGES = 10
"""A PDF counts as so many images: a page is read as text and as an image, and its bytes do not tell how many it has."""
_TRUE = msgspec.Raw(b"true")
_LIST = ord("[")


class MessagesBody:
    """`fields`: the top-level values, still raw, in the caller's order."""

    __slots__ = ("_carries", "_fields", "_max_tokens", "model", "needs", "size", "streamed")

    choices = 1

    def __init__(self, fields: dict[str, msgspec.Raw], model: str) -> None:
        self._fields = fields
        self._max_tokens = _cap(fields)
        self.model = model or _text(fields, "model")
        self.streamed = _flag(fields, "stream")
        messages = bytes(fields["messages"])  # one copy: a view of the request cannot be searched
        self._carries = carried.SEEN in messages
        self.size = _size(fields, messages)
        self.needs = _needs(fields, messages)

    @property
    def wants_usage(self) -> bool:
        """Every message tells it."""
        return True

    @property
    def echo(self) -> Mapping[str, msgspec.Raw]:
        """Answers repeat nothing."""
        return {}

    @property
    def output_tokens(self) -> int:
        """The caller's own cap; 0 when there is none."""
        return self._max_tokens or 0

    def for_upstream(self, target: Target) -> bytes:
        """The request as this target gets it: its model name, `stream`, the cap; without thoughts that models of
        other protocols signed."""
        fields = self._fields.copy()
        fields["model"] = _raw(target.model)
        if target.streamed:
            fields["stream"] = _TRUE
        else:
            fields.pop("stream", None)
        most = target.output_tokens_max
        if most and (self._max_tokens is None or self._max_tokens > most):
            fields["max_tokens"] = _raw(most)
        fields["messages"] = self._messages()
        return msgspec.json.encode(fields)

    def artefacts(self) -> list[str]:
        """What the thoughts in it are signed and sealed with: each is of use to the endpoint alone that minted it."""
        return carried.artefacts(self._fields["messages"])

    def without(self, foreign: frozenset[str]) -> "MessagesBody":
        """The request without the thoughts that other endpoints minted, and not a byte of it changed besides."""
        messages = carried.without(self._fields["messages"], foreign)
        return MessagesBody(self._fields | {"messages": messages}, self.model)

    def _messages(self) -> msgspec.Raw:
        raw = self._fields["messages"]
        return carried.without(raw) if self._carries else raw

    def prompt(self) -> Prompt:
        """In the neutral form. Raises Failure(INVALID) that names the field at fault; `thread` for one that only
        Anthropic could carry on."""
        return read_prompt(self._fields, None if self._max_tokens is None else max(self._max_tokens, 1))


def read_body(body: bytes, model: str = "") -> MessagesBody:
    """Raises Failure(INVALID) that names the field at fault. What only the provider can judge is left to it."""
    try:
        if not body.isascii():
            body.decode()  # values stay raw, and nobody would see that they are no text
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        raise Failure(Code.INVALID, "the request must be a JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Failure(Code.INVALID, "the request is not JSON") from None
    except RecursionError:
        raise Failure(Code.INVALID, "the request is nested too deeply") from None
    messages = fields.get("messages")
    if messages is None or memoryview(messages)[0] != _LIST:
        raise invalid("messages", "must be a list")
    return MessagesBody(fields, model)


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _cap(fields: dict[str, msgspec.Raw]) -> int | None:
    """max_tokens; 0 is a caller's who only warms the cache."""
    raw = fields.get("max_tokens", NOTHING)
    if _is_null(raw):
        return None
    with Reading("max_tokens"):
        cap = msgspec.json.decode(raw, type=int)
    if cap < 0:
        raise invalid("max_tokens", "must not be negative")
    return cap


def _text(fields: dict[str, msgspec.Raw], name: str) -> str:
    with Reading(name):
        return msgspec.json.decode(fields.get(name, NOTHING), type=str | None) or ""


def _flag(fields: dict[str, msgspec.Raw], name: str) -> bool:
    with Reading(name):
        return msgspec.json.decode(fields.get(name, NOTHING), type=bool | None) is True


def _size(fields: dict[str, msgspec.Raw], messages: bytes) -> Size:
    text = len(messages) + sum(len(memoryview(fields[name])) for name in ("system", "tools") if name in fields)
    images = 0
    for found in _IN_LINE.finditer(messages):
        images += 1
        text -= found.end() - found.start()
    return Size(text, images + messages.count(_PDF) * (_PDF_IN_IMAGES - 1))


def _needs(fields: dict[str, msgspec.Raw], messages: bytes) -> Needs:
    config = bytes(fields.get("output_config", NOTHING))
    thinking = bytes(fields.get("thinking", NOTHING))
    return Needs(
        tools=len(memoryview(fields.get("tools", NOTHING))) > len("null"),
        schema=b'"json_schema"' in config or not _is_null(fields.get("output_format", NOTHING)),
        images=b'"image"' in messages,
        documents=b'"document"' in messages,
        reasoning=b'"adaptive"' in thinking or b'"enabled"' in thinking,
    )


def _is_null(raw: msgspec.Raw) -> bool:
    return len(memoryview(raw)) == len("null") and is_nothing(raw)
