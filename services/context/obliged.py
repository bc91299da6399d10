"""What a permit obliges to, carried out on what is kept and on what is found.

What comes in (documents, queries, messages) is redacted before it is kept or looked up, what goes out before it is
shown. A document that was kept before such an obligation is redacted when it is found.
"""

import msgspec
from msgspec.structs import replace

from penstock.contracts.context import Found, History, Ingest, Search, Turn
from penstock.contracts.errors import Code, Failure
from penstock.kit.boundary import Action
from penstock.kit.json_text import FAILS, Edit, decoded, edited
from penstock.kit.screened import off_loop
from penstock.kit.transform import Transform

HONOURED = frozenset({"redact", "redact_input", "redact_output"})
"""Placeholders would never be put back in what is kept, so they are not made."""


async def ingest(request: Ingest, action: Action) -> Ingest:
    """The document as it is to be kept."""
    if not action.obligations:
        return request
    transform = Transform(action.obligations)
    text = await off_loop(len(request.text), transform.outward, request.text)
    kept = replace(request, text=text, title=transform.outward(request.title))
    action.applied(transform.counts)
    return kept


def search(request: Search, action: Action) -> Search:
    """The query as it is looked up, and as a model gets it that embeds it."""
    if not action.obligations:
        return request
    transform = Transform(action.obligations)
    asked = replace(request, query=transform.outward(request.query))
    action.applied(transform.counts)
    return asked


async def found(answer: Found, action: Action) -> Found:
    """The passages as they may be seen."""
    if not action.obligations:
        return answer
    transform = Transform(action.obligations)
    size = sum(len(passage.text) for passage in answer.passages)
    seen = await off_loop(size, _found, answer, transform.inward)
    action.applied(transform.counts)
    return seen


def _found(answer: Found, edit: Edit) -> Found:
    passages = [replace(one, title=edit(one.title), text=edit(one.text)) for one in answer.passages]
    return replace(answer, passages=passages)


def turns(said: list[Turn], action: Action) -> list[Turn]:
    """Messages as they are to be kept."""
    if not action.obligations:
        return said
    transform = Transform(action.obligations)
    kept = [_turn(turn, transform.outward) for turn in said]
    action.applied(transform.counts)
    return kept


def history(answer: History, action: Action) -> History:
    """Messages as they may be seen."""
    if not action.obligations:
        return answer
    transform = Transform(action.obligations)
    seen = [_turn(turn, transform.inward) for turn in answer.turns]
    action.applied(transform.counts)
    return replace(answer, turns=seen)


def _turn(turn: Turn, edit: Edit) -> Turn:
    try:
        value = decoded(turn.message)
    except FAILS:
        raise Failure(Code.INVALID, "a message holds text that cannot be read, nor screened", param="turns") from None
    return replace(turn, message=msgspec.Raw(msgspec.json.encode(edited(value, edit))))
