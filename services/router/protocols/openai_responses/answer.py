"""Whole answers, both ways. Pure."""

import msgspec

from services.router.fault import Fault, FaultKind, is_nothing, read_error, told
from services.router.protocols.answer import Answer, Choice, Finish
from services.router.protocols.loss import Losses
from services.router.protocols.openai_responses.output import Numbering, read_output, write_output
from services.router.protocols.openai_responses.reading import UNREADABLE
from services.router.protocols.openai_responses.response import (
    COMPLETED,
    INCOMPLETE,
    Whole,
    finish_with,
    read_usage,
    reason,
    response,
    response_id,
)
from services.router.protocols.openai_responses.tools import groups
from services.router.protocols.part import Refusal
from services.router.protocols.protocol import Shape, Told

ARTEFACTS_MAX = 64
_ENDED = frozenset({COMPLETED, INCOMPLETE, None})
_decode = msgspec.json.Decoder(Whole).decode


def read_told(body: bytes) -> Told:
    """See Protocol.read_told."""
    return _told(read_whole(body), body)


def read_answer(body: bytes) -> tuple[Answer, Told]:
    """See Protocol.read_answer."""
    whole = read_whole(body)
    found = _told(whole, body)
    parts = read_output(whole.output or [])
    choice = Choice(parts, finish_with(whole.finish_word, parts))
    return Answer((choice,), whole.id or "", whole.model or "", found.usage), found


def read_whole(body: bytes | msgspec.Raw) -> Whole:
    """A Response object that has ended well. Raises Fault."""
    try:
        if not isinstance(body, msgspec.Raw) and not body.isascii():
            body.decode()
        whole = _decode(body)
    except UNREADABLE:
        raise Fault(FaultKind.GARBAGE, "the provider's answer is no response", sent=True) from None
    if not is_nothing(whole.error):
        raise told(read_error(whole.error))
    if whole.output is None and whole.status not in (COMPLETED, INCOMPLETE):
        raise Fault(FaultKind.GARBAGE, "the provider's answer holds no output", sent=True)
    if whole.status not in _ENDED:
        raise Fault(FaultKind.TRANSIENT, f"the provider's answer is {str(whole.status)[:40]}", sent=True)
    return whole


def _told(whole: Whole, body: bytes) -> Told:
    sealed: list[str] = []
    if b'"encrypted_content"' in body:
        sealed = sealed_in(whole)
    return Told(
        usage=read_usage(whole.usage),
        finish=whole.finish_word,
        model=whole.model or "",
        output_bytes=sum(len(memoryview(item)) for item in whole.output or []),
        id=whole.id or "",
        artefacts=sealed,
    )


class _Sealed(msgspec.Struct):
    encrypted_content: str | None = None


def seal_in(item: msgspec.Raw) -> str:
    """The item's seal, empty when it has none."""
    try:
        return msgspec.json.decode(item, type=_Sealed).encrypted_content or ""
    except UNREADABLE:
        return ""


def sealed_in(whole: Whole) -> list[str]:
    """The seals of all items."""
    seals = [found for item in whole.output or [] if (found := seal_in(item))]
    return seals[:ARTEFACTS_MAX]


def write_answer(answer: Answer, shape: Shape, losses: Losses) -> bytes:
    """See Protocol.write_answer."""
    if len(answer.choices) > 1:
        losses.grave("output", "answers beyond the first are not carried")
    choice = answer.choices[0] if answer.choices else Choice()
    note_finish(choice.finish, losses)
    refused = any(isinstance(part, Refusal) for part in choice.parts)
    incomplete = reason(choice.finish, refused=refused)
    output = write_output(
        choice.parts,
        Numbering(response_id(answer.id, shape)),
        groups(shape.echo.get("tools")),
        cut=bool(incomplete),
        losses=losses,
    )
    status = INCOMPLETE if incomplete else COMPLETED
    return msgspec.json.encode(response(shape, answer.id, status, output, answer.usage, incomplete))


def note_finish(finish: Finish, losses: Losses) -> None:
    """Reasons to stop that have no word here."""
    if finish in (Finish.STOP_SEQUENCE, Finish.PAUSED):
        losses.note("status", f"that the answer ended for {finish.value} is not carried")
