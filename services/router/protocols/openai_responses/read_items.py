"""Input items as turns. Pure.

Items that the model made and that follow one another (reasoning, words, calls) are one turn; so are the results that
follow one another. What only this protocol knows is carried raw, and no item is refused for its type.
"""

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import OPENAI_RESPONSES
from services.router.fault import NOTHING
from services.router.protocols.openai_responses.content import ContentPart, read_content
from services.router.protocols.openai_responses.reading import UNREADABLE, invalid, is_null
from services.router.protocols.openai_responses.seal import Sealed, is_ours, thinking_of, unseal
from services.router.protocols.openai_responses.tools import flat
from services.router.protocols.part import Media, Opaque, Part, Refusal, Text, Thinking, ToolCall, ToolResult
from services.router.protocols.prompt import Role, Turn

REFERENCE = "item_reference"
CALLS = frozenset({"function_call", "custom_tool_call"})
RESULTS = frozenset({"function_call_output", "custom_tool_call_output"})
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
_GIVEN = ("_output", "_response")
"""How the types of items end that the caller gives back to a tool which the provider runs."""


class Head(msgspec.Struct):
    """What tells items apart."""

    type: str | None = None
    role: str | None = None
    id: str | None = None

    @property
    def kind(self) -> str:
        """The item's type; that of messages and references may be left out."""
        if self.type:
            return self.type
        if self.role:
            return "message"
        return REFERENCE if self.id else ""


class _Message(msgspec.Struct):
    role: str | None = None
    content: msgspec.Raw = NOTHING


class _Call(msgspec.Struct):
    call_id: str
    name: str
    arguments: str | None = None
    input: str | None = None
    namespace: str | None = None


class _Result(msgspec.Struct):
    call_id: str
    output: msgspec.Raw = NOTHING


class _Words(msgspec.Struct):
    text: str | None = None


class Reasoning(msgspec.Struct):
    """A reasoning item. `content`: of models that show their thoughts as they are."""

    id: str | None = None
    summary: list[_Words] | None = None
    content: list[_Words] | None = None
    encrypted_content: str | None = None

    @property
    def text(self) -> str:
        """Paragraphs: the summary's, then the thoughts'."""
        found = (*(self.summary or []), *(self.content or []))
        return PARAGRAPH.join([words.text for words in found if words.text])

    @property
    def thinking(self) -> Thinking:
        """The item as a part."""
        return thinking_of(self.text, self.encrypted_content or "", self.id or "")

    @property
    def signed_call(self) -> Sealed | None:
        """Set when the item is nothing but the envelope of a call's signature."""
        encrypted = self.encrypted_content or ""
        found = unseal(encrypted) if is_ours(encrypted) else Sealed()
        return found if found.call else None


PARAGRAPH = "\n\n"
HEAD = msgspec.json.Decoder(Head)
REASONING = msgspec.json.Decoder(Reasoning)
_CALL = msgspec.json.Decoder(_Call)
_MESSAGE = msgspec.json.Decoder(_Message)
_RESULT = msgspec.json.Decoder(_Result)


def head_of(raw: msgspec.Raw, path: str) -> Head:
    """Raises INVALID for what is no object."""
    try:
        return HEAD.decode(raw)
    except UNREADABLE:
        raise invalid(path, "must be an object with a type") from None


def call_of(raw: msgspec.Raw, kind: str, path: str) -> ToolCall:
    """A function_call or custom_tool_call item as a part."""
    try:
        found = _CALL.decode(raw)
    except UNREADABLE:
        raise invalid(path, "must hold call_id, name and arguments as strings") from None
    custom = kind == "custom_tool_call"
    arguments = (found.input if custom else found.arguments) or ""
    namespace = found.namespace or ""
    return ToolCall(found.call_id, flat(namespace, found.name), arguments, custom, namespace)


def read_items(items: list[msgspec.Raw], path: str = "input") -> tuple[Turn, ...]:
    """Raises INVALID that names the item at fault, and for a result whose call is not there."""
    history = _History()
    for at, raw in enumerate(items):
        history.add(raw, f"{path}.{at}")
    return history.turns


class _History:
    def __init__(self) -> None:
        self._turns: list[tuple[Role, list[Part]]] = []
        self._joinable = False
        self._names: dict[str, str] = {}
        self._signatures: dict[str, str] = {}

    @property
    def turns(self) -> tuple[Turn, ...]:
        return tuple([Turn(role, tuple([self._signed(part) for part in parts])) for role, parts in self._turns])

    def add(self, raw: msgspec.Raw, path: str) -> None:
        head = head_of(raw, path)
        kind = head.kind
        if kind == "message":
            self._message(raw, path)
        elif kind in CALLS:
            call = call_of(raw, kind, path)
            self._names[call.id] = call.name
            self._put("assistant", call)
        elif kind in RESULTS:
            self._put("tool", self._result(raw, path))
        elif kind == "reasoning":
            self._reasoning(raw, path)
        elif kind == REFERENCE:
            raise Failure(Code.INVALID, f"Item with id {(head.id or '')[:80]!r} not found.", param=path)
        else:
            part = Opaque(OPENAI_RESPONSES, kind, msgspec.Raw(bytes(raw)))
            self._put("user" if kind.endswith(_GIVEN) else "assistant", part)

    def _put(self, role: Role, *parts: Part) -> None:
        """User turns stay as they came; the others are joined."""
        if self._turns and self._turns[-1][0] == role and role in ("assistant", "tool"):
            self._turns[-1][1].extend(parts)
        else:
            self._turns.append((role, list(parts)))

    def _message(self, raw: msgspec.Raw, path: str) -> None:
        try:
            found = _MESSAGE.decode(raw)
        except UNREADABLE:
            raise invalid(path, "must be a message with a role and content") from None
        role = _ROLES.get(found.role or "")
        if role is None:
            raise invalid(f"{path}.role", "must be user, assistant, system or developer")
        parts = read_content(found.content, f"{path}.content")
        if parts:  # nothing was said in an empty message
            self._put(role, *parts)

    def _result(self, raw: msgspec.Raw, path: str) -> ToolResult:
        try:
            found = _RESULT.decode(raw)
        except UNREADABLE:
            raise invalid(path, "must hold call_id and output") from None
        name = self._names.get(found.call_id)
        if name is None:
            shown = found.call_id[:80]
            raise Failure(
                Code.INVALID, f"No tool call found for function call output with call_id {shown}.", param=path
            )
        parts = () if is_null(found.output) else read_content(found.output, f"{path}.output")
        return ToolResult(found.call_id, tuple([_plain(part) for part in parts]), name)

    def _reasoning(self, raw: msgspec.Raw, path: str) -> None:
        try:
            found = REASONING.decode(raw)
        except UNREADABLE:
            raise invalid(path, "is no reasoning item") from None
        signed = found.signed_call
        if signed is not None:
            self._signatures[signed.call] = signed.signature
        else:
            self._put("assistant", found.thinking)

    def _signed(self, part: Part) -> Part:
        if isinstance(part, ToolCall) and part.id in self._signatures:
            return msgspec.structs.replace(part, signature=self._signatures[part.id])
        return part


def _plain(part: ContentPart) -> Text | Media:
    """A result holds words and media: what else came is words to a model."""
    match part:
        case Opaque():
            return Text(bytes(part.raw).decode())
        case Refusal():
            return Text(part.text)
        case _:
            return part


def user_says(text: str) -> tuple[Turn, ...]:
    """An input that is just a string."""
    return (Turn("user", (Text(text),)),)
