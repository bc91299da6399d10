"""A whole answer, both ways. Pure."""

import hashlib

import msgspec

from penstock.contracts.llm import GEMINI_GENERATE
from services.router.protocols.answer import Answer, AnswerPart, Choice, Finish
from services.router.protocols.gemini_generate.counts import written_counts
from services.router.protocols.gemini_generate.fields import Fields, Malformed
from services.router.protocols.gemini_generate.finish import STOPPED, finish_of, reason_of
from services.router.protocols.gemini_generate.parts import read_part
from services.router.protocols.gemini_generate.response import Candidate, Shown, read_response
from services.router.protocols.gemini_generate.spelled import CANDIDATE_FIELDS, NAMESPACE_END, Spelled, spell_parts
from services.router.protocols.gemini_generate.tap import told_of
from services.router.protocols.loss import Losses
from services.router.protocols.part import Media, Opaque, Text, ToolCall, ToolResult
from services.router.protocols.protocol import Shape, Told


class CallIds:
    """Ids for the calls of one answer that has none: the same for the same answer, others for any other. `seed`: the
    answer's id, or its bytes where it has none."""

    def __init__(self, seed: str | bytes) -> None:
        self._seed = seed.encode() if isinstance(seed, str) else seed
        self._given: set[tuple[int, str]] = set()
        self._count = 0

    def name(self, call: ToolCall, choice: int) -> ToolCall:
        """The call with an id that no other call of this choice has."""
        self._count += 1
        id = call.id
        if not id or (choice, id) in self._given:
            digest = hashlib.sha256(b"%d %b" % (self._count, self._seed)).hexdigest()
            id = f"call_{digest[:24]}"
        self._given.add((choice, id))
        return msgspec.structs.replace(call, id=id)


def read_answer(body: bytes) -> tuple[Answer, Told]:
    """Raises Fault."""
    try:
        return _read(body)
    except Malformed as error:
        raise error.garbage() from None


def answer_parts(piece: Shown, path: str, ids: CallIds, choice: int) -> tuple[AnswerPart, ...]:
    """One part of an answer, or two, or none. What only Gemini's own clients understand stays as it is."""
    left: Fields = {}
    made: list[AnswerPart] = []
    for part in read_part(piece.raw, path, left, piece.fields):
        match part:
            case Media() | ToolResult():
                return (
                    Opaque(GEMINI_GENERATE, "inlineData" if isinstance(part, Media) else "functionResponse", piece.raw),
                )
            case ToolCall():
                namespace, end, name = part.name.rpartition(NAMESPACE_END)
                named = msgspec.structs.replace(part, name=name, namespace=namespace) if end and name else part
                made.append(ids.name(named, choice))
            case Text(text=""):
                pass
            case _:
                made.append(part)
    return tuple(made)


def beside(candidate: Candidate) -> list[Opaque]:
    """Sources, citations, log probabilities: what stands beside the content and belongs to it."""
    return [Opaque(GEMINI_GENERATE, name, value) for name, value in candidate.beside.items()]


def write_answer(answer: Answer, shape: Shape, losses: Losses) -> bytes:
    """The answer as one GenerateContentResponse."""
    made: dict[str, object] = {
        "candidates": [
            write_candidate(choice.parts, number, losses) | closing(choice.finish, choice.stop_sequence, number, losses)
            for number, choice in enumerate(answer.choices)
        ]
    }
    if answer.usage is not None:
        made["usageMetadata"] = written_counts(answer.usage)
    made["modelVersion"] = shape.model or answer.model
    made["responseId"] = answer.id or shape.id
    return msgspec.json.encode(made)


def write_candidate(parts: tuple[AnswerPart, ...], number: int, losses: Losses) -> dict[str, object]:
    """The content of one candidate, and what stands beside it."""
    beside: dict[str, object] = {}
    within: list[AnswerPart] = []
    for part in parts:
        if isinstance(part, Opaque) and part.origin == GEMINI_GENERATE and part.type in CANDIDATE_FIELDS:
            beside[part.type] = part.raw
        else:
            within.append(part)
    spelled: list[Spelled] = spell_parts(within, f"choices.{number}.message.content", losses, foreign=False)
    return {"content": {"parts": spelled, "role": "model"}, "index": number, **beside}


def closing(finish: Finish, stop_sequence: str, number: int, losses: Losses) -> dict[str, object]:
    """Why a candidate ended."""
    path = f"choices.{number}.finish_reason"
    if stop_sequence:
        losses.note(path, "which stop sequence was hit is left out")
    if finish is Finish.PAUSED:
        losses.grave(path, "that the model waits to go on cannot be said")
    return {"finishReason": reason_of(finish)}


def _read(body: bytes) -> tuple[Answer, Told]:
    response = read_response(body)
    told = told_of(response, len(body))
    ids = CallIds(response.id or body)
    choices: dict[int, Choice] = {}
    for place, candidate in enumerate(response.candidates):
        parts: list[AnswerPart] = []
        for number, piece in enumerate(candidate.parts):
            parts += answer_parts(piece, f"candidates.{place}.content.parts.{number}", ids, candidate.number)
        calls = any(isinstance(part, ToolCall) for part in parts)
        parts += beside(candidate)
        choices[candidate.number] = Choice(tuple(parts), finish_of(candidate.reason or STOPPED, calls=calls))
    if not choices:
        choices[0] = Choice((), Finish.FILTERED)
    made = tuple(choices[index] for index in sorted(choices))
    return Answer(made, response.id, response.model, response.usage), told
