"""Output items of an answer, both ways. Pure.

Words that follow one another are contents of one message; every other part is an item of its own. An item's id is made
of the response's and its place, so that a stream and the whole of it tell the same.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from penstock.contracts.errors import Failure
from penstock.contracts.llm import OPENAI_RESPONSES
from services.router.fault import Fault, FaultKind
from services.router.protocols.answer import AnswerPart
from services.router.protocols.loss import Losses
from services.router.protocols.openai_responses.content import WITHIN, read_content
from services.router.protocols.openai_responses.read_items import CALLS, REASONING, call_of, head_of
from services.router.protocols.openai_responses.reading import UNREADABLE, Json
from services.router.protocols.openai_responses.seal import MADE_UP, SEEN, id_for, seal, seal_of_call
from services.router.protocols.openai_responses.tools import grouped
from services.router.protocols.part import Media, Opaque, Refusal, Text, Thinking, ToolCall

Groups = Mapping[str, tuple[str, str]]
Word = Text | Refusal | Opaque
Item = Json | msgspec.Raw
_ENVELOPE = re.compile(SEEN)
_KEPT_CHARS = 40
"""Of a response's id, in the ids of its items: they are at most 64 characters long."""


@dataclass(frozen=True, slots=True)
class Numbering:
    """Ids of the items of one response."""

    response: str

    def item(self, prefix: str, at: int) -> str:
        """Of the item in that place."""
        return f"{prefix}_{self.response.removeprefix('resp_')[-_KEPT_CHARS:]}_{at}"


class _Content(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw(b"null")


def read_item(raw: msgspec.Raw) -> list[AnswerPart]:
    """The parts that an output item stands for; a reasoning item that tells nothing is none. Raises Fault(GARBAGE).

    The envelope of a call's signature is an empty part here: see `read_output`.
    """
    kind = "output"
    try:
        kind = head_of(raw, "output").kind
        if kind == "message":
            return [_worded(part) for part in read_content(msgspec.json.decode(raw, type=_Content).content, "output")]
        if kind in CALLS:
            return [call_of(raw, kind, "output")]
        if kind == "reasoning":
            found = REASONING.decode(raw)
            thinking = found.thinking
            return [thinking] if thinking.text or thinking.sealed or thinking.signature else []
    except (*UNREADABLE, Failure):
        raise Fault(FaultKind.GARBAGE, f"the provider's {kind} item is malformed", sent=True) from None
    return [Opaque(OPENAI_RESPONSES, kind, msgspec.Raw(bytes(raw)))]


def signed_call_of(raw: msgspec.Raw) -> tuple[str, str] | None:
    """Call id and signature, where the item is nothing but the envelope of one."""
    if _ENVELOPE.search(memoryview(raw)) is None:
        return None
    try:
        found = REASONING.decode(raw).signed_call
    except UNREADABLE:
        return None
    return None if found is None else (found.call, found.signature)


def read_output(items: Sequence[msgspec.Raw]) -> tuple[AnswerPart, ...]:
    """All parts, signatures on their calls."""
    parts: list[AnswerPart] = []
    signatures: dict[str, str] = {}
    for raw in items:
        signed = signed_call_of(raw)
        if signed is None:
            parts += read_item(raw)
        else:
            signatures[signed[0]] = signed[1]
    if not signatures:
        return tuple(parts)
    return tuple([_signed(part, signatures) for part in parts])


def _signed(part: AnswerPart, signatures: Mapping[str, str]) -> AnswerPart:
    if isinstance(part, ToolCall) and part.id in signatures:
        return msgspec.structs.replace(part, signature=signatures[part.id])
    return part


def _worded(part: Text | Refusal | Media | Opaque) -> Word:
    """A provider's message holds words only; media in it is none of the documented protocol."""
    if isinstance(part, Media):
        raise Fault(FaultKind.GARBAGE, "the provider's message holds media", sent=True)
    return part


def is_word(part: AnswerPart) -> bool:
    """Whether it stands within a message."""
    return isinstance(part, Text | Refusal) or (isinstance(part, Opaque) and part.type.startswith(WITHIN))


def write_output(
    parts: Sequence[AnswerPart], numbering: Numbering, groups: Groups, *, cut: bool, losses: Losses
) -> list[Item]:
    """`cut`: the answer ended before its end."""
    items: list[Item] = []
    words: list[Word] = []
    for at, part in enumerate(parts):
        if isinstance(part, Text | Refusal) or (isinstance(part, Opaque) and is_word(part)):
            if carried(part, at, losses):
                words.append(part)
            continue
        if words and carried(part, at, losses):
            items.append(message(numbering.item("msg", len(items)), words, "completed"))
            words = []
        _put(items, part, numbering, groups, at, losses)
    if words:
        items.append(message(numbering.item("msg", len(items)), words, "incomplete" if cut else "completed"))
    return items


def _put(items: list[Item], part: AnswerPart, numbering: Numbering, groups: Groups, at: int, losses: Losses) -> None:
    match part:
        case Thinking():
            items.append(reasoning(numbering.item(MADE_UP, len(items)), part))
        case ToolCall():
            items.append(call(numbering.item(call_prefix(part), len(items)), part, groups))
            if part.signature:
                items.append(call_signature(numbering.item(MADE_UP, len(items)), part))
        case Opaque() if carried(part, at, losses):
            items.append(part.raw)
        case _:
            pass


def carried(part: AnswerPart, at: int, losses: Losses) -> bool:
    """Whether it has a place here; noted where not."""
    if not isinstance(part, Opaque) or part.origin == OPENAI_RESPONSES:
        return True
    losses.note(f"output.{at}", f"a part of type {part.type[:60]!r} of another protocol is not carried")
    return False


def message(item_id: str, words: Sequence[Word], status: str) -> Json:
    """A message item."""
    content = [word_of(word) for word in words]
    return {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": content}


def word_of(word: Word) -> Item:
    """A content part."""
    if isinstance(word, Opaque):
        return word.raw
    if isinstance(word, Refusal):
        return {"type": "refusal", "refusal": word.text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": word.text}


def reasoning(item_id: str, part: Thinking) -> Json:
    """A reasoning item; what is sealed in it is there for whoever sends it back."""
    summary = [{"type": "summary_text", "text": part.text}] if part.text else []
    made: Json = {"id": id_for(part, item_id), "type": "reasoning", "summary": summary}
    sealed = seal(part)
    return made | ({"encrypted_content": sealed} if sealed else {})


def call_prefix(part: ToolCall) -> str:
    """Of the item's id."""
    return "ctc" if part.custom else "fc"


def call(item_id: str, part: ToolCall, groups: Groups) -> Json:
    """A call item, with the group that its tool was listed in."""
    namespace, name = groups.get(part.name) or grouped(part.namespace, part.name)
    made: Json = {"id": item_id, "type": "function_call", "status": "completed", "call_id": part.id, "name": name}
    if namespace:
        made["namespace"] = namespace
    if part.custom:
        return made | {"type": "custom_tool_call", "input": part.arguments}
    return made | {"arguments": part.arguments or "{}"}


def call_signature(item_id: str, part: ToolCall) -> Json:
    """The signature of a call, as an item of its own that clients send back like any reasoning."""
    return {"id": item_id, "type": "reasoning", "summary": [], "encrypted_content": seal_of_call(part)}
