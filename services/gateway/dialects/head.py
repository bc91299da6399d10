"""Reads the head of a request's body: what the edge decides on. Everything else travels untouched."""

from typing import TypeVar

import msgspec

from penstock.contracts.errors import Code, Failure

Head = TypeVar("Head")


def read(decoder: msgspec.json.Decoder[Head], body: bytes) -> Head:
    """Raises Failure(INVALID) that names the field at fault."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Failure(Code.INVALID, str(error), param=_field(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Failure(Code.INVALID, "the body is not valid JSON") from error


def named(model: str) -> str:
    """The model's name. Raises Failure(INVALID) when there is none."""
    if not model:
        raise Failure(Code.INVALID, "model must name a model", param="model")
    return model


def is_list(raw: msgspec.Raw) -> bool:
    """Whether this JSON is a list."""
    return bytes(raw).lstrip().startswith(b"[")


def needs_list(name: str, raw: msgspec.Raw, *, templated: bool) -> None:
    """Raises Failure(INVALID) unless the field `name` is a list; a template stands for a missing one."""
    if not raw and not templated:
        raise Failure(Code.INVALID, f"Object missing required field `{name}`", param=name)
    if raw and not is_list(raw):
        raise Failure(Code.INVALID, f"{name} must be a list", param=name)


def _field(error: str) -> str:
    for quote, end in (("field `", "`"), ("at `$.", "`")):
        start = error.find(quote)
        if start >= 0:
            return error[start + len(quote) : error.index(end, start + len(quote))]
    return ""
