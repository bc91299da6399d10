"""The refusal of a request, with the field at fault by its path. Pure."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from penstock.contracts.errors import Code, Failure

_PATH = re.compile(r" - at `\$(.*)`$")
_INDEX = re.compile(r"\[(\d+|\.\.\.)\]")
PARAM_MAX_CHARS = 200


def invalid(field: str, detail: str) -> Failure:
    """INVALID for this field."""
    return Failure(Code.INVALID, f"{field}: {detail}" if field else detail, param=field[:PARAM_MAX_CHARS])


@contextmanager
def reading(field: str) -> Iterator[None]:
    """Turns what decoding raises into INVALID for `field`, or for what within it is wrong."""
    try:
        yield
    except msgspec.ValidationError as error:
        words = str(error)
        found = _PATH.search(words)
        where = _INDEX.sub(r".\1", found[1]) if found else ""
        raise invalid(f"{field}{where}", _PATH.sub("", words)[:PARAM_MAX_CHARS]) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise invalid(field, "is not JSON") from None
    except RecursionError:
        raise invalid(field, "is nested too deeply") from None
