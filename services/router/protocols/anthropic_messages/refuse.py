"""The refusal of a request, with the field at fault by its path. Pure."""

import re
from types import TracebackType

import msgspec

from penstock.contracts.errors import Code, Failure

_PATH = re.compile(r" - at `\$(.*)`$")
_INDEX = re.compile(r"\[(\d+|\.\.\.)\]")
PARAM_MAX_CHARS = 200


def invalid(field: str, detail: str) -> Failure:
    """INVALID for this field."""
    return Failure(Code.INVALID, f"{field}: {detail}" if field else detail, param=field[:PARAM_MAX_CHARS])


class Reading:
    """`with Reading(field)`: what decoding raises becomes INVALID for the field, or for what within it is wrong."""

    __slots__ = ("_field",)

    def __init__(self, field: str) -> None:
        self._field = field

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, msgspec.ValidationError):
            words = str(error)
            found = _PATH.search(words)
            where = _INDEX.sub(r".\1", found[1]) if found else ""
            raise invalid(f"{self._field}{where}", _PATH.sub("", words)[:PARAM_MAX_CHARS]) from None
        if isinstance(error, msgspec.DecodeError | UnicodeDecodeError):
            raise invalid(self._field, "is not JSON") from None
        if isinstance(error, RecursionError):
            raise invalid(self._field, "is nested too deeply") from None
