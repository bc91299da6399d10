"""Answers written down beforehand, for demonstrations, tests and load: which rule answers, and with what. Pure."""

from typing import Literal

import msgspec

Trouble = Literal["status", "error", "hang", "cut"]


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is given must hold. `contains`: in the last user message, in any case; `turn`: how many answers the
    assistant has given since that message (0 for the first); `model`: the deployment's model name."""

    contains: str = ""
    turn: int | None = None
    model: str = ""


class Call(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call. `{user}` and `{tool}` in its texts are filled in as in `say`."""

    name: str
    arguments: dict[str, str | int | float | bool | list[str] | None] = {}


class Counts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Usage as it is reported."""

    input: int
    output: int
    cached: int = 0


class Fail(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What goes wrong after `after` deltas: a `status` instead of an answer, an `error` event in the stream, a `hang`
    for ever, or a `cut` without an end. Only `status` and `hang` mean something for a plain answer."""

    how: Trouble = "status"
    after: int = 0
    status: int = 500
    message: str = "the script says so"
    code: str = ""
    retry_after_s: float = 0.0


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One answer. `say`: a text, streamed word by word, or the list of its deltas; `{user}` is the last user message,
    `{tool}` the last tool result. `delay_s` before the first delta, `pause_s` between deltas. Without `usage` it is
    reckoned from the lengths; with `count: false` none is reported."""

    when: When = When()
    say: str | list[str] = ""
    calls: list[Call] = []
    usage: Counts | None = None
    count: bool = True
    delay_s: float = 0.0
    pause_s: float = 0.0
    finish: str = ""
    fail: Fail | None = None


class Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first rule that fits answers. `embedding_dimensions`: the length of its vectors."""

    rules: list[Rule] = []
    embedding_dimensions: int = 64


class _Message(msgspec.Struct):
    role: str = ""
    content: msgspec.Raw = msgspec.Raw(b"null")


class _Request(msgspec.Struct):
    messages: list[_Message] = []


class _Part(msgspec.Struct):
    text: str = ""


class Talk(msgspec.Struct, frozen=True):
    """What rules look at."""

    user: str
    tool: str
    turn: int


def read_talk(body: bytes) -> Talk:
    """The end of the conversation in a chat-completions request."""
    user, tool, turn = "", "", 0
    for message in msgspec.json.decode(body, type=_Request).messages:
        if message.role == "user":
            user, turn = _text(message.content), 0
        elif message.role == "tool":
            tool = _text(message.content)
        elif message.role == "assistant":
            turn += 1
    return Talk(user, tool, turn)


def find(script: Script, talk: Talk, model: str) -> Rule | None:
    """The rule that answers."""
    said = talk.user.lower()
    for rule in script.rules:
        when = rule.when
        if when.contains and when.contains.lower() not in said:
            continue
        if when.turn is not None and when.turn != talk.turn:
            continue
        if when.model and when.model != model:
            continue
        return rule
    return None


def deltas(rule: Rule, talk: Talk) -> list[str]:
    """The text, in the pieces it is streamed in."""
    if isinstance(rule.say, list):
        return [fill(piece, talk) for piece in rule.say]
    text = fill(rule.say, talk)
    return [word for word in _words(text) if word]


def fill(text: str, talk: Talk) -> str:
    """`text` with what was said put in its places."""
    return text.replace("{user}", talk.user).replace("{tool}", talk.tool)


def _words(text: str) -> list[str]:
    words = text.split(" ")
    return [word + " " for word in words[:-1]] + words[-1:]


def _text(content: msgspec.Raw) -> str:
    found = msgspec.json.decode(content, type=str | list[_Part] | None)
    if isinstance(found, list):
        return "\n".join(part.text for part in found if part.text)
    return found or ""
