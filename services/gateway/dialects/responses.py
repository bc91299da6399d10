"""OpenAI Responses: its heads, and how one of its streams breaks."""

import msgspec

from penstock.contracts.errors import Failure
from penstock.contracts.llm import OPENAI_RESPONSES, TokenCount
from services.gateway.dialects import head
from services.gateway.dialects.dialect import Events, Form
from services.gateway.dialects.openai import ErrorBody, OpenAi, error_body

_SEQUENCE = b'"sequence_number":'
_DIGITS_MAX = 12
_REACH = len(_SEQUENCE) + 1 + _DIGITS_MAX
"""The longest that a number and its name are."""


class _Head(msgspec.Struct, frozen=True):
    model: str
    stream: bool | None = None


class _ErrorEvent(msgspec.Struct, frozen=True):
    """As documented, flat, and with `error` as it is sent and as clients raise it."""

    type: str
    code: str
    message: str
    param: str | None
    sequence_number: int
    error: ErrorBody


class _Deleted(msgspec.Struct, frozen=True):
    id: str
    object: str
    deleted: bool


class _Count(msgspec.Struct, frozen=True):
    object: str
    input_tokens: int


_heads = msgspec.json.Decoder(_Head)


def response_head(body: bytes) -> tuple[str, bool]:
    """Model and whether to stream. Raises Failure(INVALID) that names the field at fault."""
    found = head.read(_heads, body)
    return head.named(found.model), bool(found.stream)


def deleted(id: str) -> bytes:
    """DELETE /v1/responses/{id}"""
    return msgspec.json.encode(_Deleted(id, "response", True))


def count(counted: TokenCount) -> bytes:
    """POST /v1/responses/input_tokens"""
    return msgspec.json.encode(_Count("response.input_tokens", counted.input_tokens))


class Responses(OpenAi):
    """As OpenAI's other paths but for the error event."""

    surface = OPENAI_RESPONSES

    def form(self, request: str) -> Form:
        return _Numbered()


class _Numbered(Events):
    """Events with a `sequence_number`: one that we add has the next."""

    def __init__(self) -> None:
        super().__init__(self._event)
        self._last = -1
        self._cut = b""

    def frame(self, frame: bytes) -> bytes:
        seen = self._cut + frame if self._cut else frame
        found = seen.rfind(_SEQUENCE)
        if found >= 0:
            self._last = _number_at(seen, found + len(_SEQUENCE))
        self._cut = b"" if frame.endswith(b"\n\n") else seen[-_REACH:]
        return frame

    def _event(self, failure: Failure) -> bytes:
        body = error_body(failure)
        event = _ErrorEvent("error", body.code, body.message, body.param, self._last + 1, body)
        return b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n"


def _number_at(frame: bytes, start: int) -> int:
    digits = frame[start : start + _DIGITS_MAX].lstrip()
    end = 0
    while end < len(digits) and digits[end : end + 1].isdigit():
        end += 1
    return int(digits[:end] or b"0")
