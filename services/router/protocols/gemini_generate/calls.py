"""The calls of a history: an id for each, and the call that each result answers. Pure.

Gemini's calls may have no ids, and results then belong to calls by the function's name and their order. Here every call
gets an id of its own, the same one each time the same history is read.
"""

from collections import deque
from dataclasses import dataclass

import msgspec

from services.router.protocols.gemini_generate.fields import Malformed
from services.router.protocols.part import ToolCall, ToolResult


@dataclass(slots=True)
class _Waiting:
    call: ToolCall
    turn: int
    answered: bool = False


class _Stack:
    """Calls that wait: the first of the latest turn comes first. Those that were answered by another way are dropped
    when they are met, so that a long history costs no more than its length."""

    __slots__ = ("_turns",)

    def __init__(self) -> None:
        self._turns: list[deque[_Waiting]] = []

    def add(self, one: _Waiting) -> None:
        if self._turns and self._turns[-1] and self._turns[-1][0].turn == one.turn:
            self._turns[-1].append(one)
        else:
            self._turns.append(deque([one]))

    def take(self) -> _Waiting | None:
        while self._turns:
            turn = self._turns[-1]
            while turn:
                one = turn.popleft()
                if not one.answered:
                    return one
            self._turns.pop()
        return None


class Calls:
    """One history, from its beginning on."""

    __slots__ = ("_by_id", "_by_name", "_nameless", "_taken", "_without_id")

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._by_id: dict[str, _Stack] = {}
        self._by_name: dict[str, _Stack] = {}
        self._without_id: dict[str, _Stack] = {}
        self._nameless = _Stack()

    def add(self, call: ToolCall, turn: int, number: int) -> ToolCall:
        """The call with an id that no other one has."""
        id = call.id
        if not id or id in self._taken:
            id = base = f"call_{turn}_{number}"
            tries = 0
            while id in self._taken:
                tries += 1
                id = f"{base}_{tries}"
        self._taken.add(id)
        waiting = _Waiting(msgspec.structs.replace(call, id=id), turn)
        if call.id:
            self._by_id.setdefault(call.id, _Stack()).add(waiting)
        else:
            self._without_id.setdefault(call.name, _Stack()).add(waiting)
        self._by_name.setdefault(call.name, _Stack()).add(waiting)
        self._nameless.add(waiting)
        return waiting.call

    def answered(self, result: ToolResult, path: str) -> ToolResult:
        """The result with the id and name of its call: by the id where both have one, else the first call of that name
        in the latest turn that still waits for one. Raises Malformed."""
        found = self._take(result)
        if found is None:
            raise Malformed(path, "answers no function call")
        found.answered = True
        return msgspec.structs.replace(result, call=found.call.id, name=result.name or found.call.name)

    def _take(self, result: ToolResult) -> _Waiting | None:
        if result.call and result.call in self._by_id:
            return self._by_id[result.call].take()
        if not result.name:
            return None if result.call else self._nameless.take()
        named = self._without_id if result.call else self._by_name
        return named[result.name].take() if result.name in named else None
