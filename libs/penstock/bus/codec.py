"""Values as JSON bytes and back, with the decoders kept."""

from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar

import msgspec

from penstock.contracts.errors import Code, Failure

T = TypeVar("T")

_encoder = msgspec.json.Encoder()


def encode(value: object) -> bytes:
    """`value` as JSON. Raw parts are copied as they are."""
    return _encoder.encode(value)


@cache
def _decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def decode(kind: type[T], data: bytes) -> T:
    """The value in `data`. Raises Failure(INVALID) that says where it is wrong, and never repeats the data."""
    try:
        if not data.isascii():
            data.decode()  # parts that are passed on as they are were never looked into
        key: object = kind
        value: T = _decoder(key).decode(data)
    except msgspec.ValidationError as error:
        raise Failure(Code.INVALID, str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Failure(Code.INVALID, "the body is not valid JSON") from error
    except RecursionError as error:
        raise Failure(Code.INVALID, "the body is nested too deeply") from error
    return value
