"""Messages and tools of the usual shape, decoded at once: most are, and field by field costs five times as much. Pure.

What has any other field, or a value of another kind, is not of this shape, and is read field by field.
"""

from typing import Literal

import msgspec

from services.router.protocols.openai_chat.fields import NOT_JSON


class PlainFunction(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    arguments: str


class PlainCall(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    function: PlainFunction
    type: Literal["function"] = "function"


class PlainMessage(msgspec.Struct, forbid_unknown_fields=True):
    """Only the fields of its role are set."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | None = None
    tool_calls: list[PlainCall] | None = None
    tool_call_id: str | None = None
    name: str | None = None
    refusal: None = None


class _Described(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    description: str = ""
    parameters: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    strict: bool | None = None


class PlainTool(msgspec.Struct, forbid_unknown_fields=True):
    """A function."""

    type: Literal["function"]
    function: _Described


_MESSAGE = msgspec.json.Decoder(PlainMessage)
_TOOL = msgspec.json.Decoder(PlainTool)


def plain_message(raw: msgspec.Raw) -> PlainMessage | None:
    """None for any other shape."""
    try:
        message = _MESSAGE.decode(raw)
    except NOT_JSON:
        return None
    if message.tool_calls is not None and (message.role != "assistant" or not all(map(_is_named, message.tool_calls))):
        return None
    return message if (message.tool_call_id is not None) is (message.role == "tool") else None


def plain_tool(raw: msgspec.Raw) -> PlainTool | None:
    """None for any other shape."""
    try:
        tool = _TOOL.decode(raw)
    except NOT_JSON:
        return None
    parameters = tool.function.parameters
    described = isinstance(parameters, msgspec.UnsetType) or memoryview(parameters)[0] == ord("{")
    return tool if described and tool.function.name else None


def _is_named(call: PlainCall) -> bool:
    return bool(call.function.name)
