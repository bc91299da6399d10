"""What went before a request, kept by the router and not by the provider: items of earlier inputs and answers. Pure.

Any deployment may continue it, also one that never saw it. So what only makes sense where it was made is left out:
ids of items that no provider has stored, reasoning that nobody sealed, and seals of other endpoints.
"""

from collections.abc import Iterable

import msgspec

from services.router.protocols.openai_responses.read_items import CALLS, HEAD, Head
from services.router.protocols.openai_responses.reading import FIELDS, UNREADABLE, raw_of
from services.router.protocols.openai_responses.seal import is_ours


class Segment(msgspec.Struct, frozen=True):
    """One turn of a stored conversation. `response`: its id; `endpoint`: where the answer was minted."""

    response: str
    endpoint: str
    input: tuple[msgspec.Raw, ...]
    output: tuple[msgspec.Raw, ...]

    @property
    def items(self) -> tuple[msgspec.Raw, ...]:
        """In order."""
        return self.input + self.output

    def honoured_at(self, endpoint: str) -> "Segment":
        """Without reasoning that was sealed at another endpoint."""
        if not self.endpoint or self.endpoint == endpoint:
            return self
        output = tuple([item for item in self.output if _head(item).type != "reasoning"])
        return msgspec.structs.replace(self, output=output)


class _Sealed(msgspec.Struct):
    encrypted_content: str | None = None


def for_endpoint(segments: Iterable[Segment], endpoint: str) -> list[msgspec.Raw]:
    """The items that a provider of this protocol gets. What the caller gives now (a segment of no response) is the
    caller's affair, but for our envelopes."""
    items: list[msgspec.Raw] = []
    for segment in segments:
        for item in segment.honoured_at(endpoint).items:
            if segment.response:
                items += _portable(item)
            elif not _in_envelope(item):
                items.append(item)
    return items


def _portable(item: msgspec.Raw) -> list[msgspec.Raw]:
    kind = _head(item).type
    if kind == "reasoning":
        sealed = _seal(item)
        return [item] if sealed and not is_ours(sealed) else []
    if kind not in CALLS and kind != "message":
        return [item]
    fields = FIELDS.decode(item)
    fields.pop("id", None)
    return [raw_of(fields)]


def _in_envelope(item: msgspec.Raw) -> bool:
    return _head(item).type == "reasoning" and is_ours(_seal(item))


def id_of(item: msgspec.Raw) -> str:
    """Empty when it has none."""
    return _head(item).id or ""


def _head(item: msgspec.Raw) -> Head:
    try:
        return HEAD.decode(item)
    except UNREADABLE:
        return Head()


def _seal(item: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(item, type=_Sealed).encrypted_content or ""
    except UNREADABLE:
        return ""
