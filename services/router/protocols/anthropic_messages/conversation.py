"""Turns as the messages that Anthropic takes: roles in alternation, a call's results at the head of the very next
message, `system` first or where the model takes it. Pure."""

from penstock.contracts.llm import ANTHROPIC_MESSAGES
from services.router.protocols.anthropic_messages.write_block import Block, Blocks, text
from services.router.protocols.loss import Losses
from services.router.protocols.part import Part, Text, ToolCall, ToolResult
from services.router.protocols.prompt import Turn

FIRST_WORDS = "(The conversation begins.)"
"""Stands where a conversation has no user message to begin with."""


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
        self._asked: list[str] = []
        self._results: dict[str, tuple[str, ToolResult]] = {}

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
                self._asked += [part.id for part in turn.parts if isinstance(part, ToolCall)]
            else:
                self._say_user(where, turn)
        self._close()
        self._answer_calls()
        self._flush_system()
        for call in self._results:
            self._losses.grave(self._results[call][0], "a tool result whose call is not in the history")
        if not self.messages or self.messages[0]["role"] != "user":
            self._losses.note("messages.0", "put after words of ours: Anthropic's conversations begin with the user")
            self.messages.insert(0, {"role": "user", "content": [text(FIRST_WORDS)]})

    def _gather(self, turns: tuple[Turn, ...]) -> None:
        for at, turn in enumerate(turns):
            for number, part in enumerate(turn.parts):
                if isinstance(part, ToolResult):
                    field = f"messages.{at}.content.{number}"
                    if part.call in self._results:
                        self._losses.grave(field, "a second result of the same tool call")
                    self._results.setdefault(part.call, (field, part))

    def _written(self, at: str, parts: tuple[Part, ...], *, assistant: bool = False) -> list[Block]:
        """Results are not among them: they stand where their calls want them."""
        made = [
            self._blocks.of(f"{at}.{number}", part, assistant=assistant)
            for number, part in enumerate(parts)
            if not isinstance(part, ToolResult)
        ]
        return [block for block in made if block is not None]

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
        asked = set(self._asked)
        found = [call for call in self._results if call in asked]
        blocks = [self._blocks.result(*self._results.pop(call)) for call in found]
        if missing := sorted(asked - set(found)):
            self._losses.grave("messages", f"{len(missing)} tool calls have no result in the history")
        self._asked = []
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


def _reminder(part: Text) -> Block:
    return text(f"<system-reminder>\n{part.text}\n</system-reminder>", part.cache)
