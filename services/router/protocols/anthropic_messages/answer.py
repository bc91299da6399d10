"""A whole message, read and written. Pure."""

import msgspec

from penstock.contracts.llm import ANTHROPIC_MESSAGES
from services.router.fault import NOTHING, is_nothing, read_error, told
from services.router.protocols.answer import Answer, AnswerPart, Choice
from services.router.protocols.anthropic_messages import block, carried
from services.router.protocols.anthropic_messages.event import garbage, keep
from services.router.protocols.anthropic_messages.legal import legal, tool_name
from services.router.protocols.anthropic_messages.stop import finish_of, stop_reason
from services.router.protocols.anthropic_messages.tally import Reported, counted, written
from services.router.protocols.loss import Losses
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall
from services.router.protocols.protocol import Shape, Told

CITATIONS = "citations"
"""The type of the opaque part that follows a text: what it cites. No block of the wire."""


class _Whole(msgspec.Struct):
    type: str = ""
    id: str = ""
    model: str = ""
    content: list[msgspec.Raw] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    usage: Reported | None = None
    error: msgspec.Raw = NOTHING


_WHOLE = msgspec.json.Decoder(_Whole)


def read_answer(body: bytes) -> tuple[Answer, Told]:
    """Raises Fault: an error inside it, or what is no message."""
    whole, said = _read(body)
    parts: list[AnswerPart] = []
    try:
        for raw in whole.content or []:
            parts += read_block(raw)
    except block.BROKEN:
        raise garbage("the provider's answer holds a block that cannot be read") from None
    finish = finish_of(said.finish, calls=any(isinstance(part, ToolCall) for part in parts))
    choice = Choice(tuple(parts), finish, whole.stop_sequence or "")
    return Answer((choice,), whole.id, whole.model, said.usage), said


def read_told(body: bytes) -> Told:
    """Of an answer that is passed on as it is. Raises Fault as `read_answer` does."""
    return _read(body)[1]


def read_block(raw: msgspec.Raw) -> list[AnswerPart]:
    """A block of the model's. Raises what decoding raises."""
    kind = block.kind.decode(raw).type
    if kind == "text":
        text = block.text.decode(raw)
        return [Text(text.text), *cited(text.citations)]
    if kind == "thinking":
        thought = block.thinking.decode(raw)
        return [carried.thinking(thought.thinking, thought.signature or "")]
    if kind == "redacted_thinking":
        return [Thinking(sealed=block.redacted.decode(raw).data)]
    if kind == "tool_use":
        call = block.tool_use.decode(raw)
        name, namespace = tool_name(call.name)
        arguments = "{}" if is_nothing(call.input) else bytes(call.input).decode()
        return [ToolCall(call.id, name, arguments, namespace=namespace)]
    return [Opaque(ANTHROPIC_MESSAGES, kind, raw)]


def cited(citations: msgspec.Raw) -> list[AnswerPart]:
    """What a text cites, as a part of its own; nothing where there is none."""
    if is_nothing(citations) or bytes(citations) == b"[]":
        return []
    return [Opaque(ANTHROPIC_MESSAGES, CITATIONS, citations)]


def _read(body: bytes) -> tuple[_Whole, Told]:
    try:
        if not body.isascii():
            body.decode()
        whole = _WHOLE.decode(body)
    except block.BROKEN:
        raise garbage("the provider's answer is not a message") from None
    if not is_nothing(whole.error):
        raise told(read_error(whole.error))
    if whole.type == "error" or whole.content is None:
        raise garbage("the provider's answer holds no content")
    usage = None if whole.usage is None else counted(whole.usage)
    said = Told(usage, whole.stop_reason or "", whole.model, len(body), whole.id)
    for raw in whole.content:
        _keep_artefacts(said, raw)
    return whole, said


def _keep_artefacts(said: Told, raw: msgspec.Raw) -> None:
    try:
        kind = block.kind.decode(raw).type
        if kind == "thinking":
            keep(said, block.thinking.decode(raw).signature or "")
        elif kind == "redacted_thinking":
            keep(said, block.redacted.decode(raw).data)
    except block.BROKEN:
        raise garbage("the provider's answer holds a block that cannot be read") from None


def write_answer(answer: Answer, shape: Shape, losses: Losses) -> bytes:
    """The message as a caller of this protocol reads it."""
    if len(answer.choices) > 1:
        losses.note("choices", "a message is one answer: the first is shown")
    choice = answer.choices[0] if answer.choices else Choice()
    content: list[object] = []
    for at, part in enumerate(choice.parts):
        content += write_part(f"content.{at}", part, losses)
    calls = any(isinstance(part, ToolCall) for part in choice.parts)
    return msgspec.json.encode(
        head(answer.id, shape)
        | {
            "content": content,
            "stop_reason": stop_reason(choice.finish, calls=calls),
            "stop_sequence": choice.stop_sequence or None,
            "usage": written(answer.usage),
        }
    )


def head(id: str, shape: Shape) -> dict[str, object]:
    """What a message begins with. Ids of other protocols' answers are not shown."""
    own = id if id.startswith("msg_") else shape.id
    return {"id": own, "type": "message", "role": "assistant", "model": shape.model}


def write_part(at: str, part: AnswerPart, losses: Losses) -> list[object]:
    """The blocks of one part: none for an empty text, two for a call that is signed."""
    match part:
        case Text() | Refusal():
            return [{"type": "text", "text": part.text}] if part.text else []
        case Thinking():
            return [{"type": "thinking", "thinking": part.text, "signature": carried.signature_of(part)}]
        case ToolCall():
            return _calls(at, part, losses)
        case Opaque(origin=origin) if origin == ANTHROPIC_MESSAGES and part.type != CITATIONS:
            return [part.raw]
        case Opaque():
            losses.note(at, f"a part of type {part.type[:60]} is known to another provider alone")
            return []


def _calls(at: str, part: ToolCall, losses: Losses) -> list[object]:
    made: object = None if part.custom else block.as_input(part.arguments)
    if made is None:
        if not part.custom:
            losses.note(f"{at}.arguments", "no JSON object, and shown as the text of one")
        made = block.wrapped(part.arguments)
    call = {"type": "tool_use", "id": legal(part.id), "name": part.name, "input": made}
    if not part.signature:
        return [call]
    return [{"type": "thinking", "thinking": "", "signature": carried.call_signature(part.signature)}, call]
