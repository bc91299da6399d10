"""A chat-completions request: what a decision needs of it is read, and little of it is replaced. Pure.

Fields that we do not know survive byte for byte: only top-level values are cut out and put in.
"""

import msgspec

from penstock.contracts.errors import Code, Failure
from services.router.deployment import Deployment
from services.router.estimate import Size, size_of

OUTPUT_GUESS_TOKENS = 4096
"""The output that is reserved for when neither the caller nor the deployment bounds it."""
CHOICES_MAX = 128
_CAPS = ("max_completion_tokens", "max_tokens")


class ChatBody(msgspec.Struct, frozen=True):
    """`fields`: the request's top-level values, still raw. `wants_usage`: the caller asked for the usage chunk."""

    fields: dict[str, msgspec.Raw]
    size: Size
    output_tokens: int
    choices: int
    has_tools: bool
    wants_usage: bool

    def output_for(self, deployment: Deployment) -> int:
        """The longest output that this deployment may give, over all choices."""
        own = self.output_tokens or deployment.output_tokens_max or OUTPUT_GUESS_TOKENS
        return self.choices * (min(own, deployment.output_tokens_max) if deployment.output_tokens_max else own)

    def for_upstream(self, deployment: Deployment, *, streamed: bool) -> bytes:
        """The request as this deployment gets it: its model name, `stream`, the cap, and the usage chunk asked for."""
        fields = self.fields.copy()
        fields["model"] = _raw(deployment.model)
        if streamed:
            fields["stream"] = _TRUE
            if deployment.stream_usage and not self.wants_usage:
                fields["stream_options"] = _asking_for_usage(fields.get("stream_options"))
        elif fields.pop("stream", None) is not None:
            fields.pop("stream_options", None)
        _cap(fields, self.output_tokens, deployment)
        return msgspec.json.encode(fields)


def read_chat(body: msgspec.Raw | bytes) -> ChatBody:
    """Raises Failure(INVALID) that names the field at fault. What only the provider can judge is left to it."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        raise Failure(Code.INVALID, "the request must be a JSON object") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Failure(Code.INVALID, "the request is not JSON") from None
    messages = fields.get("messages")
    if messages is None or memoryview(messages)[0] != _LIST:
        raise Failure(Code.INVALID, "messages must be a list", param="messages")
    tools = _present(fields, "tools")
    size = size_of(memoryview(messages))
    if tools is not None:
        size = Size(size.text + len(tools), size.images)
    caps = [cap for name in _CAPS if (cap := _whole(fields, name)) is not None]
    choices = _whole(fields, "n")
    if choices is not None and choices > CHOICES_MAX:
        raise Failure(Code.INVALID, f"n must be at most {CHOICES_MAX}", param="n")
    return ChatBody(
        fields,
        size,
        min(caps, default=0),
        choices or 1,
        tools is not None and len(tools) > len(b"[]"),
        _wants_usage(fields),
    )


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


_TRUE = msgspec.Raw(b"true")
_NULL = b"null"
_LIST = ord("[")


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _present(fields: dict[str, msgspec.Raw], name: str) -> msgspec.Raw | None:
    raw = fields.get(name)
    return None if raw is None or (len(raw) == len(_NULL) and bytes(raw) == _NULL) else raw


def _whole(fields: dict[str, msgspec.Raw], name: str) -> int | None:
    raw = _present(fields, name)
    if raw is None:
        return None
    try:
        number = msgspec.json.decode(raw, type=int)
    except msgspec.DecodeError:
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
    except msgspec.DecodeError:
        raise Failure(Code.INVALID, "stream_options must be an object", param="stream_options") from None


def _asking_for_usage(raw: msgspec.Raw | None) -> msgspec.Raw:
    options: dict[str, msgspec.Raw] = {}
    if raw is not None and bytes(raw) != _NULL:
        options = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    options["include_usage"] = _TRUE
    return _raw(options)


def _cap(fields: dict[str, msgspec.Raw], asked: int, deployment: Deployment) -> None:
    most = deployment.output_tokens_max
    if not most or 0 < asked <= most:
        return
    names = [name for name in _CAPS if _present(fields, name) is not None]
    for name in names or [deployment.output_tokens_field]:
        fields[name] = _raw(most)
