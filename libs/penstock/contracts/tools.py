"""Tool calls."""

from typing import Literal

import msgspec

Effect = Literal["read", "idempotent", "once"]
"""read: may be run again freely; idempotent: again with the same key; once: never again when its outcome is unknown."""


class ToolSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """One tool. `parameters` is the JSON Schema of its arguments."""

    name: str
    description: str
    parameters: msgspec.Raw
    effect: Effect = "read"
    kind: str = ""
    labels: tuple[str, ...] = ()


class ToolListRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which tools are there? With `names`, only these."""

    names: tuple[str, ...] = ()


class ToolList(msgspec.Struct, frozen=True, omit_defaults=True):
    """The tools of a pool, sorted by name."""

    tools: list[ToolSpec]


class ToolCall(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call. `arguments` is a JSON object; the idempotency key and the run's epoch stand in Meta."""

    call: str
    tool: str
    arguments: msgspec.Raw


class ToolResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the tool gave: a result is data, also when `is_error`. `content` is text; `truncated` says that the
    output was cut at the tool's limit; `replayed` that the stored answer of an earlier call was given. `taint`: labels
    that a run bears from now on, which has read this."""

    content: str
    is_error: bool = False
    truncated: bool = False
    replayed: bool = False
    media_type: str = "text/plain"
    decision: str = ""
    taint: tuple[str, ...] = ()
