"""A chat-completions request: what a decision needs of it is read, and little of it is replaced. Pure.

Fields that we do not know survive byte for byte: only top-level values are cut out and put in.
"""

import re
from collections.abc import Mapping

import msgspec

from penstock.contracts.errors import Code, Failure
from services.router.estimate import Size, size_of
from services.router.protocols.openai_chat.fields import NOT_JSON
from services.router.protocols.openai_chat.read_request import read_prompt
from services.router.protocols.prompt import Prompt
from services.router.protocols.protocol import Needs, Target

CHOICES_MAX = 128
CAPS = ("max_completion_tokens", "max_tokens")


class ChatBody:
    """`fields`: the request's top-level values, still raw. `wants_usage`: the caller asked for the usage chunk."""

    __slots__ = ("_needs", "choices", "fields", "model", "output_tokens", "size", "streamed", "wants_usage")

    def __init__(self, fields: dict[str, msgspec.Raw]) -> None:
        """Raises Failure(INVALID) that names the field at fault. What only the provider can judge is left to it."""
        messages = fields.get("messages")
        if messages is None or memoryview(messages)[0] != _LIST:
            raise Failure(Code.INVALID, "messages must be a list", param="messages")
        self.fields = fields
        self.size = _size(fields, messages)
        self.output_tokens = min([cap for name in CAPS if (cap := _whole(fields, name)) is not None], default=0)
        self.choices = _choices(fields)
        self.wants_usage = _wants_usage(fields)
        self.model = _model(fields)
        self.streamed = _is(fields, "stream", b"true")
        self._needs: Needs | None = None

    @property
    def needs(self) -> Needs:
        """Found at the first look: it takes a walk through all messages."""
        if self._needs is None:
            self._needs = _needs(self.fields)
        return self._needs

    @property
    def echo(self) -> Mapping[str, msgspec.Raw]:
        """Answers repeat nothing."""
        return {}

    def for_upstream(self, target: Target) -> bytes:
        """The request as this target gets it: its model name, `stream`, the cap, and the usage chunk asked for."""
        fields = self.fields.copy()
        fields["model"] = _raw(target.model)
        if target.streamed:
            fields["stream"] = _TRUE
            if target.stream_usage and not self.wants_usage:
                fields["stream_options"] = _asking_for_usage(fields.get("stream_options"))
        elif fields.pop("stream", None) is not None:
            fields.pop("stream_options", None)
        _cap(fields, self.output_tokens, target)
        return msgspec.json.encode(fields)

    def prompt(self) -> Prompt:
        """The request in the neutral form. Raises Failure(INVALID) that names the field at fault."""
        return read_prompt(self.fields)


def read_chat(body: msgspec.Raw | bytes) -> ChatBody:
    """Raises Failure(INVALID)."""
    try:
        text = bytes(body)
        if not text.isascii():
            text.decode()  # values stay raw, and nobody would see that they are no text
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        raise Failure(Code.INVALID, "the request must be a JSON object") from None
    except NOT_JSON:
        raise Failure(Code.INVALID, "the request is not JSON") from None
    return ChatBody(fields)


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


_TRUE = msgspec.Raw(b"true")
_NULL = b"null"
_LIST = ord("[")
_KINDS = re.compile(rb'"type"\s*:\s*"(image_url|input_audio|file)"')
_SCHEMA = re.compile(rb'"type"\s*:\s*"json_schema"')
_UNTHINKING = (b"null", b'"none"')


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _is(fields: dict[str, msgspec.Raw], name: str, value: bytes) -> bool:
    raw = fields.get(name)
    return raw is not None and len(raw) == len(value) and bytes(raw) == value


def _present(fields: dict[str, msgspec.Raw], name: str) -> msgspec.Raw | None:
    raw = fields.get(name)
    return None if raw is None or (len(raw) == len(_NULL) and bytes(raw) == _NULL) else raw


def _model(fields: dict[str, msgspec.Raw]) -> str:
    raw = _present(fields, "model")
    if raw is None:
        return ""
    try:
        return msgspec.json.decode(raw, type=str)
    except NOT_JSON:
        raise Failure(Code.INVALID, "model must be a string", param="model") from None


def _size(fields: dict[str, msgspec.Raw], messages: msgspec.Raw) -> Size:
    size = size_of(memoryview(messages))
    tools = _present(fields, "tools")
    return size if tools is None else Size(size.text + len(tools), size.images)


def _needs(fields: dict[str, msgspec.Raw]) -> Needs:
    found = {kind[1] for kind in _KINDS.finditer(fields["messages"])}
    tools = _present(fields, "tools") or _present(fields, "functions")
    shape = _present(fields, "response_format")
    effort = fields.get("reasoning_effort")
    return Needs(
        tools=tools is not None and len(tools) > len(b"[]"),
        schema=shape is not None and _SCHEMA.search(shape) is not None,
        images=b"image_url" in found,
        documents=b"file" in found,
        audio=b"input_audio" in found or _present(fields, "audio") is not None,
        reasoning=effort is not None and bytes(effort) not in _UNTHINKING,
    )


def _choices(fields: dict[str, msgspec.Raw]) -> int:
    choices = _whole(fields, "n")
    if choices is not None and choices > CHOICES_MAX:
        raise Failure(Code.INVALID, f"n must be at most {CHOICES_MAX}", param="n")
    return choices or 1


def _whole(fields: dict[str, msgspec.Raw], name: str) -> int | None:
    raw = _present(fields, name)
    if raw is None:
        return None
    try:
        number = msgspec.json.decode(raw, type=int)
    except NOT_JSON:
        number = 0
    if number < 1:
        raise Failure(Code.INVALID, f"{name} must be a whole number of at least 1", param=name)
    return number


def _wants_usage(fields: dict[str, msgspec.Raw]) -> bool:
    raw = _present(fields, "stream_options")
    if raw is None:
        return False
    try:
        return msgspec.json.decode(raw, type=_StreamOptions).include_usage is True
    except NOT_JSON:
        raise Failure(Code.INVALID, "stream_options must be an object", param="stream_options") from None


def _asking_for_usage(raw: msgspec.Raw | None) -> msgspec.Raw:
    options: dict[str, msgspec.Raw] = {}
    if raw is not None and bytes(raw) != _NULL:
        options = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    options["include_usage"] = _TRUE
    return _raw(options)


def _cap(fields: dict[str, msgspec.Raw], asked: int, target: Target) -> None:
    most = target.output_tokens_max
    if not most or 0 < asked <= most:
        return
    names = [name for name in CAPS if _present(fields, name) is not None]
    for name in names or [target.output_tokens_field]:
        fields[name] = _raw(most)
