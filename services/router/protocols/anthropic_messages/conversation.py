"""Turns as the messages that Anthropic takes: roles in alternation, a call's results at the head of the very next
message, `system` first or where the model takes it. Pure."""

from collections import Counter, deque
from typing import NamedTuple

from penstock.contracts.llm import ANTHROPIC_MESSAGES
from services.router.protocols.anthropic_messages.legal import legal
from services.router.protocols.anthropic_messages.write_block import NO_RESULT, Block, Blocks, text
from services.router.protocols.loss import Losses
from services.router.protocols.part import Part, Text, ToolCall, ToolResult
from services.router.protocols.prompt import Turn

FIRST_WORDS = "(The conversation begins.)"
"""Stands where a conversation has no user message to begin with."""


class _Call(NamedTuple):
    id: str
    wire: str


class _Result(NamedTuple):
    """`at`: the numbers of its turn and of the part in it."""

    at: tuple[int, int]
    part: ToolResult

    @property
    def field(self) -> str:
        return f"messages.{self.at[0]}.content.{self.at[1]}"


class Conversation:
    """`system`: the leading system blocks; `messages`: the rest, each `{role, content}`."""

    def __init__(self, origin: str, losses: Losses, *, system_turns: bool) -> None:
        self.system: list[Block] = []
        self.messages: list[Block] = []
        self._losses = losses
        self._blocks = Blocks(losses, own=origin == ANTHROPIC_MESSAGES)
        self._system_turns = system_turns
        self._role = ""
        self._content: list[Block] = []
        self._waiting: list[Block] = []
        self._asked: list[_Call] = []
        self._used: Counter[str] = Counter()
        self._results: dict[str, deque[_Result]] = {}

    def write(self, turns: tuple[Turn, ...]) -> None:
        """All of them, in order."""
        self._gather(turns)
        for at, turn in enumerate(turns):
            where = f"messages.{at}.content"
            if turn.name:
                self._losses.note(f"messages.{at}.name", "Anthropic has no names of speakers")
            if turn.role == "system":
                self._say_system(where, turn)
            elif turn.role == "assistant":
                self._open("assistant")
                self._content += self._written(where, turn.parts, assistant=True)
            else:
                self._say_user(where, turn)
        self._close()
        self._answer_calls()
        self._flush_system()
        for left in self._results.values():
            for result in left:
                self._losses.grave(result.field, "a tool result whose call is not in the history")
        if not self.messages or self.messages[0]["role"] != "user":
            self._losses.note("messages.0", "put after words of ours: Anthropic's conversations begin with the user")
            self.messages.insert(0, {"role": "user", "content": [text(FIRST_WORDS)]})

    def _gather(self, turns: tuple[Turn, ...]) -> None:
        for at, turn in enumerate(turns):
            for number, part in enumerate(turn.parts):
                if isinstance(part, ToolResult):
                    result = _Result((at, number), part)
                    self._results.setdefault(part.call, deque()).append(result)

    def _written(self, at: str, parts: tuple[Part, ...], *, assistant: bool = False) -> list[Block]:
        """Results are not among them: they stand where their calls want them."""
        made: list[Block] = []
        for number, part in enumerate(parts):
            if isinstance(part, ToolCall):
                made.append(self._blocks.call(f"{at}.{number}", part, self._asks(part.id)))
            elif not isinstance(part, ToolResult):
                block = self._blocks.of(f"{at}.{number}", part, assistant=assistant)
                made += [block] if block is not None else []
        return made

    def _asks(self, call: str) -> str:
        """The id of a call on the wire: Anthropic wants each once, and some models begin anew in every turn."""
        again = self._used[call]
        self._used[call] += 1
        wire = f"{legal(call)}_X_{again}" if again else legal(call)
        self._asked.append(_Call(call, wire))
        return wire

    def _open(self, role: str) -> None:
        if role == self._role:
            return
        self._close()
        self._answer_calls()
        if role == "assistant":
            self._flush_system()
        self._role = role

    def _close(self) -> None:
        if self._content:
            self._put(self._role, self._content)
        self._content = []
        self._role = ""

    def _put(self, role: str, blocks: list[Block]) -> None:
        last = self.messages[-1] if self.messages else None
        if last is not None and last["role"] == role and isinstance(last["content"], list):
            last["content"] += blocks
        else:
            self.messages.append({"role": role, "content": list(blocks)})

    def _answer_calls(self) -> None:
        """The results of the assistant's last calls, in the order of the history."""
        found: list[tuple[tuple[int, int], Block]] = []
        missing: list[Block] = []
        for call in self._asked:
            waiting = self._results.get(call.id)
            if waiting:
                result = waiting.popleft()
                found.append((result.at, self._blocks.result(result.field, result.part, call.wire)))
            else:
                self._losses.grave("messages", "a tool call has no result in the history")
                missing.append(self._blocks.result("", ToolResult(call.id, (Text(NO_RESULT),), failed=True), call.wire))
        self._asked = []
        blocks = [block for _, block in sorted(found, key=_place)] + missing
        if blocks:
            self._put("user", blocks)

    def _say_user(self, at: str, turn: Turn) -> None:
        if self._waiting and self._role == "user":
            self._losses.note(at, "stands before a system message that came before it")
        self._open("user")
        self._content += self._written(at, turn.parts)

    def _say_system(self, at: str, turn: Turn) -> None:
        blocks = self._written(at, turn.parts)
        if not self.messages and not self._content:
            self.system += blocks
        elif self._system_turns:
            if self._role == "assistant":
                self._losses.note(at, "stands behind the user's next message: Anthropic takes it only there")
            self._waiting += blocks
        else:
            self._losses.note(at, "shown as the user's words: the model takes no system message there")
            self._open("user")
            self._content += [_reminder(part) for part in turn.parts if isinstance(part, Text) and part.text.strip()]

    def _flush_system(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        if self.messages and self.messages[-1]["role"] == "user":
            self.messages.append({"role": "system", "content": waiting})
        else:
            self._losses.note("messages", "a last system message is shown as the user's words")
            self._put("user", waiting)


def _place(found: tuple[tuple[int, int], Block]) -> tuple[int, int]:
    return found[0]


def _reminder(part: Text) -> Block:
    return text(f"<system-reminder>\n{part.text}\n</system-reminder>", part.cache)
