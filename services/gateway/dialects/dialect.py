"""What every protocol at the edge has: a shape for failures, for lists of models, and for what stands in a stream."""

from collections.abc import Callable
from typing import Protocol

from penstock.contracts.errors import Failure
from penstock.contracts.llm import Models

COMMENT = b": keep-alive\n\n"
EMPTY_LINES = b"\n\n"
"""For clients that take a comment for data."""


class Form(Protocol):
    """One stream on its way to a client: what its bytes are, made of the server-sent events that come from inside.

    keep_alive: what fills silence between two events. early: whether it may come before the first event, which sends
    the answer's head. comments: whether clients pass over comments.
    """

    content_type: str
    keep_alive: bytes
    early: bool
    comments: bool

    def frame(self, frame: bytes) -> bytes:
        """The next bytes; a frame may end inside of an event. Empty when nothing can be said yet."""
        ...

    def end(self) -> bytes:
        """What closes a stream that is whole."""
        ...

    def failure(self, failure: Failure) -> bytes:
        """What closes a stream that broke: clients must not take it for whole."""
        ...


class Dialect(Protocol):
    """One protocol. `surface`: its name on the bus."""

    surface: str

    def status(self, failure: Failure) -> int: ...
    def document(self, failure: Failure, request: str) -> bytes:
        """The body of an answer that is a failure; `request` is the request's id."""
        ...

    def headers(self, request: str) -> dict[str, str]:
        """What every answer carries, good or bad, beside what they all do."""
        ...

    def form(self, request: str) -> Form: ...
    def model_list(self, models: Models) -> bytes: ...
    def one_model(self, models: Models, id: str) -> bytes:
        """Raises Failure(NOT_FOUND)."""
        ...


class Events:
    """Server-sent events, passed on as they come."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(
        self,
        failed: Callable[[Failure], bytes],
        *,
        keep_alive: bytes = COMMENT,
        early: bool = True,
        comments: bool = True,
    ) -> None:
        self._failed = failed
        self.keep_alive = keep_alive
        self.early = early
        self.comments = comments

    def frame(self, frame: bytes) -> bytes:
        return frame

    def end(self) -> bytes:
        return b""

    def failure(self, failure: Failure) -> bytes:
        return self._failed(failure)
