"""A stream as one JSON list, written as its elements come: Gemini's form for who did not ask for server-sent events."""

from collections.abc import Callable

from penstock.contracts.errors import Failure
from services.gateway.dialects.dialect import EMPTY_LINES


class JsonList:
    """Elements are the data of events, one each; the spaces between them may be filled with more of the same."""

    content_type = "application/json; charset=utf-8"
    keep_alive = EMPTY_LINES
    early = False
    comments = False

    def __init__(self, document: Callable[[Failure], bytes]) -> None:
        self._document = document
        self._line = b""
        self._data: list[bytes] = []
        self._began = False

    def frame(self, frame: bytes) -> bytes:
        *lines, self._line = (self._line + frame).split(b"\n")
        return b"".join([self._read(line.removesuffix(b"\r")) for line in lines])

    def end(self) -> bytes:
        last = self._read(self._line) + self._read(b"")
        return last + (b"]\n" if self._began else b"[]\n")

    def failure(self, failure: Failure) -> bytes:
        return self._element(self._document(failure)) + b"]\n"

    def _read(self, line: bytes) -> bytes:
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        elif not line and self._data:
            data = b"\n".join(self._data)
            self._data.clear()
            return self._element(data)
        return b""

    def _element(self, data: bytes) -> bytes:
        start = b"," if self._began else b"["
        self._began = True
        return start + data + EMPTY_LINES
