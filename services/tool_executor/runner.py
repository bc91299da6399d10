"""What every kind of tool is to the rest: facts about one call for policy, and the call itself."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from penstock.contracts.policy import Fact
from penstock.contracts.tools import ToolResult
from penstock.kit.obligations import Filter


@dataclass(frozen=True, slots=True)
class Prepared:
    """A call that could be made. `facts` are what policy decides on, and `run(timeout_s)` does nothing beyond them.

    `run` ends within its time-out, and within a second of being cancelled. An error of the tool itself is a result;
    it raises Failure: DENIED for a place where the tool may not reach, UNKNOWN_OUTCOME when a tool with effect `once`
    may have taken effect, UNAVAILABLE when it cannot be tried now.
    """

    facts: dict[str, Fact]
    run: Callable[[float], Awaitable[ToolResult]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """What policy holds one call to. `rows_max` 0: no other limit than the tool's own."""

    filters: tuple[Filter, ...] = ()
    read_only: bool = False
    rows_max: int = 0


FREE = Bounds()


class OutOfBounds(Exception):
    """A call that cannot be held to its bounds: it is refused. The text says why."""


class Runner(Protocol):
    """One tool of some kind. `honours`: names of the obligations that it can be held to by Bounds."""

    honours: frozenset[str]

    def prepare(self, arguments: Mapping[str, object], key: str = "", bounds: Bounds = FREE) -> Prepared:
        """Checks what the schema cannot. `key` is for whoever carries the call out outside the plane: the same key is
        the same call, made again. Raises BadArguments, and OutOfBounds."""
        ...

    async def close(self) -> None:
        """Lets go of connections."""
        ...
