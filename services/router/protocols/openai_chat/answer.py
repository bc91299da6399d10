"""A whole chat completion, read and written. Pure."""

import msgspec

from penstock.contracts.llm import OPENAI_CHAT
from services.router.fault import Fault, FaultKind
from services.router.protocols.answer import Answer, AnswerPart, Choice, Finish, Piece
from services.router.protocols.fold import Fold
from services.router.protocols.loss import Losses
from services.router.protocols.openai_chat.fields import NOT_JSON
from services.router.protocols.openai_chat.finish import write_finish
from services.router.protocols.openai_chat.grow import Growing
from services.router.protocols.openai_chat.reader import base_of
from services.router.protocols.openai_chat.tap import read_told
from services.router.protocols.openai_chat.usage import reported
from services.router.protocols.openai_chat.write_messages import write_call
from services.router.protocols.openai_chat.write_parts import Json
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall
from services.router.protocols.protocol import Shape, Told

OWN_ID = "chatcmpl-"


class _Said(msgspec.Struct):
    message: dict[str, msgspec.Raw] | None = None
    finish_reason: str | None = None


class _Whole(msgspec.Struct):
    choices: list[_Said]


_WHOLE = msgspec.json.Decoder(_Whole)


def read_answer(body: bytes) -> tuple[Answer, Told]:
    """Raises Fault: an error inside it, or what is no chat completion."""
    told = read_told(body)
    try:
        whole = _WHOLE.decode(body)
    except NOT_JSON:
        raise Fault(FaultKind.GARBAGE, "the provider's answer is not a chat completion", sent=True) from None
    folding = Fold()
    base = base_of(told.id, body)
    for number, choice in enumerate(whole.choices):
        growing = Growing(number, base)
        growing.finish = choice.finish_reason or "stop"
        pieces: list[Piece] = growing.take(choice.message or {}, whole=True)
        for piece in pieces + growing.close():
            folding.take(piece)
    return Answer(folding.answer.choices, told.id, told.model, told.usage), told


def write_answer(answer: Answer, shape: Shape, losses: Losses) -> bytes:
    written: Json = {
        "id": answer_id(answer.id, shape),
        "object": "chat.completion",
        "created": shape.created,
        "model": shape.model,
        "choices": [_choice(choice, number, losses) for number, choice in enumerate(answer.choices)],
    }
    if answer.usage is not None:
        written["usage"] = reported(answer.usage)
    return msgspec.json.encode(written)


def answer_id(given: str, shape: Shape) -> str:
    """The provider's own where it is of this protocol."""
    return given if given.startswith(OWN_ID) else shape.id


def note_signature(part: Thinking, choice: int, losses: Losses) -> None:
    """Thoughts lose what proves them."""
    if part.signature or part.sealed:
        losses.note(f"choices.{choice}.reasoning", "signatures and sealed thoughts are not carried")


def note_finish(finish: Finish, choice: int, losses: Losses) -> None:
    """The reasons to stop that this wire has no word for."""
    if finish is Finish.PAUSED:
        losses.grave(f"choices.{choice}.finish_reason", "the provider paused: the answer is not the whole")
    elif finish in (Finish.STOP_SEQUENCE, Finish.REFUSED, Finish.CONTEXT):
        losses.note(f"choices.{choice}.finish_reason", f"{finish} has no word of its own here")


def note_order(choice: int, losses: Losses) -> None:
    """All text of a message stands before its calls."""
    losses.note(f"choices.{choice}.content", "text after a tool call is put before it")


def note_opaque(part: Opaque, choice: int, losses: Losses) -> None:
    """A part of another protocol."""
    losses.note(f"choices.{choice}.content", f"a part of the type {part.type[:40]} is not carried")


def _choice(choice: Choice, number: int, losses: Losses) -> Json:
    message = _Message()
    for part in choice.parts:
        message.add(part, number, losses)
    note_finish(choice.finish, number, losses)
    finish = write_finish(choice.finish, called=bool(message.calls))
    return {"index": number, "message": message.whole(), "logprobs": None, "finish_reason": finish}


class _Message:
    """An assistant's message while its parts are gathered."""

    def __init__(self) -> None:
        self.calls: list[Json] = []
        self._own: Json = {}
        self._texts: dict[str, list[str]] = {}

    def add(self, part: AnswerPart, number: int, losses: Losses) -> None:
        match part:
            case Text():
                if self.calls:
                    note_order(number, losses)
                self._texts.setdefault("content", []).append(part.text)
            case Refusal():
                self._texts.setdefault("refusal", []).append(part.text)
            case Thinking():
                note_signature(part, number, losses)
                self._texts.setdefault("reasoning_content", []).append(part.text)
            case ToolCall():
                self.calls.append(write_call(part, part.name))
            case Opaque() if part.origin == OPENAI_CHAT:
                self._own[part.type] = part.raw
            case Opaque():
                note_opaque(part, number, losses)

    def whole(self) -> Json:
        said: Json = {name: "".join(texts) for name, texts in self._texts.items() if any(texts)}
        if not self.calls and "refusal" not in said:
            said.setdefault("content", "")
        message: Json = {"role": "assistant", "content": None, "refusal": None} | said | self._own
        if self.calls:
            message["tool_calls"] = self.calls
        return message
