"""A Responses request: what a decision needs of it is read, and little of it is replaced. Pure.

Fields that nobody here knows survive byte for byte: only top-level values are cut out and put in, and items where a
stored history is put before them or where something sealed elsewhere must be left out.
"""

import re
from collections.abc import Mapping, Sequence

import msgspec

from penstock.contracts.errors import Code, Failure
from services.router.estimate import Size, size_of
from services.router.protocols.openai_responses import history, read_prompt
from services.router.protocols.openai_responses.history import Segment
from services.router.protocols.openai_responses.read_items import REFERENCE, head_of
from services.router.protocols.openai_responses.reading import (
    FIELDS,
    RAWS,
    UNREADABLE,
    Fields,
    decoded,
    fields_of,
    flag,
    is_null,
    present,
    raw_of,
    text,
    whole,
)
from services.router.protocols.openai_responses.seal import SEEN
from services.router.protocols.prompt import Prompt
from services.router.protocols.protocol import Needs, Target

ECHOED = (
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
)
"""What an answer repeats of its request."""
_INSTEAD_OF_INPUT = ("previous_response_id", "prompt", "conversation")
_TRUE = msgspec.Raw(b"true")
_MEDIA = re.compile(rb'"input_(image|file|audio)"')
_ENVELOPE = re.compile(SEEN)
_REFERENCED = re.compile(rb'"item_reference"|"id"')


class ResponsesBody:
    """`history`: what went before, once it was loaded (`continued`)."""

    __slots__ = ("_found", "choices", "fields", "history", "model", "needs", "output_tokens", "size", "streamed")

    def __init__(
        self,
        fields: Fields,
        model: str,
        segments: Sequence[Segment] = (),
        found: Mapping[str, Segment] | None = None,
    ) -> None:
        """Raises Failure(INVALID)."""
        self.fields = fields
        self.model = text(fields, "model") or model
        self.history = tuple(segments)
        self.streamed = flag(fields, "stream") is True
        self.output_tokens = whole(fields, "max_output_tokens") or 0
        self.choices = 1
        self._found = found or {}
        if flag(fields, "background"):
            raise Failure(Code.INVALID, "background responses are not made here", param="background")
        given = [raw for name in ("input", "instructions", "tools") if (raw := present(fields, name)) is not None]
        before = [item for segment in self.history for item in segment.items]
        sizes = [size_of(memoryview(raw)) for raw in (*given, *before)]
        self.size = Size(sum(size.text for size in sizes), sum(size.images for size in sizes))
        self.needs = _needs(fields, before)

    @property
    def wants_usage(self) -> bool:
        """A response always tells."""
        return True

    @property
    def previous(self) -> str:
        """The response that this one continues; empty when there is none."""
        return text(self.fields, "previous_response_id")

    @property
    def stores(self) -> bool:
        """Whether the caller lets the answer be kept: unless it says no."""
        return flag(self.fields, "store") is not False

    @property
    def echo(self) -> dict[str, msgspec.Raw]:
        """For Shape.echo."""
        return {name: raw for name in ECHOED if (raw := present(self.fields, name)) is not None}

    @property
    def items(self) -> list[msgspec.Raw]:
        """The caller's own input as items, references not yet resolved."""
        raw = present(self.fields, "input")
        if raw is None:
            return []
        if memoryview(raw)[0] == _QUOTE:
            return [raw_of({"type": "message", "role": "user", "content": raw})]
        return decoded(raw, RAWS, "input", "a string or a list of items")

    @property
    def references(self) -> tuple[str, ...]:
        """Ids of stored items that the input names instead of holding them."""
        raw = present(self.fields, "input")
        if raw is None or memoryview(raw)[0] == _QUOTE or _REFERENCED.search(memoryview(raw)) is None:
            return ()
        heads = [head_of(item, f"input.{at}") for at, item in enumerate(self.items)]
        return tuple([head.id for head in heads if head.kind == REFERENCE and head.id])

    @property
    def resolved(self) -> list[msgspec.Raw]:
        """The caller's own input as items, with stored ones in place of references to them."""
        return [item for segment in self._all()[len(self.history) :] for item in segment.items]

    def continued(self, segments: Sequence[Segment], found: Mapping[str, Segment]) -> "ResponsesBody":
        """The same request after a stored history: nothing of it need be known at any provider. `found`: for each of
        `references` that is stored, its item alone."""
        return ResponsesBody(self.fields, self.model, segments, found)

    def for_upstream(self, target: Target) -> bytes:
        fields = dict(self.fields)
        fields["model"] = raw_of(target.model)
        if target.streamed:
            fields["stream"] = _TRUE
        else:
            fields.pop("stream", None)
            fields.pop("stream_options", None)
        most = target.output_tokens_max
        if most and not 0 < self.output_tokens <= most:
            fields["max_output_tokens"] = raw_of(most)
        if self.history:
            fields.pop("previous_response_id", None)
        if self.history or self._found or self._sealed_here:
            fields["input"] = raw_of(history.for_endpoint(self._all(), target.endpoint))
        return msgspec.json.encode(fields)

    def prompt(self) -> Prompt:
        if self.previous and not self.history:
            raise not_found(self.previous)
        items: str | list[msgspec.Raw]
        raw = present(self.fields, "input")
        if raw is not None and memoryview(raw)[0] == _QUOTE and not self.history:
            items = text(self.fields, "input")
        else:
            items = [item for segment in self._all() for item in segment.items]
        return read_prompt.read_prompt(self.fields, items)

    def honoured_at(self, endpoint: str) -> "ResponsesBody":
        """Without the stored artefacts that another endpoint minted: for `prompt`. `for_upstream` does it by itself."""
        kept = [segment.honoured_at(endpoint) for segment in self.history]
        found = {name: segment.honoured_at(endpoint) for name, segment in self._found.items()}
        return ResponsesBody(self.fields, self.model, kept, found)

    def _all(self) -> list[Segment]:
        """The history, and the caller's own input after it."""
        segments = list(self.history)
        own: list[msgspec.Raw] = []
        for at, item in enumerate(self.items):
            stored = self._stored(item, f"input.{at}") if self._found else None
            if stored is None:
                own.append(item)
            else:
                segments += [Segment("", "", tuple(own), ()), stored]
                own = []
        return [*segments, Segment("", "", tuple(own), ())]

    def _stored(self, item: msgspec.Raw, path: str) -> Segment | None:
        head = head_of(item, path)
        return self._found.get(head.id or "") if head.kind == REFERENCE else None

    @property
    def _sealed_here(self) -> bool:
        raw = self.fields.get("input")
        return raw is not None and _ENVELOPE.search(memoryview(raw)) is not None


_QUOTE = ord('"')


def not_found(response: str) -> Failure:
    """In OpenAI's words."""
    detail = f"Previous response with id '{response[:80]}' not found."
    return Failure(Code.NOT_FOUND, detail, param="previous_response_id")


def read_body(body: msgspec.Raw | bytes, model: str = "") -> ResponsesBody:
    """Raises Failure(INVALID) that names the field at fault. What only the provider can judge is left to it."""
    try:
        text = bytes(body)
        if not text.isascii():
            text.decode()  # values stay raw, and nobody would see that they are no text
        fields = FIELDS.decode(body)
    except msgspec.ValidationError:
        raise Failure(Code.INVALID, "the request must be a JSON object") from None
    except UNREADABLE:
        raise Failure(Code.INVALID, "the request is not JSON") from None
    given = present(fields, "input")
    if given is None:
        if all(is_null(fields.get(name)) for name in _INSTEAD_OF_INPUT):
            raise Failure(Code.INVALID, "input must be a string or a list of items", param="input")
    elif memoryview(given)[0] not in b'"[':
        raise Failure(Code.INVALID, "input must be a string or a list of items", param="input")
    return ResponsesBody(fields, model)


class _Format(msgspec.Struct):
    type: str | None = None


class _Effort(msgspec.Struct):
    effort: str | None = None


_FORMATS = msgspec.json.Decoder(_Format)
_EFFORTS = msgspec.json.Decoder(_Effort)


def _needs(fields: Fields, before: Sequence[msgspec.Raw]) -> Needs:
    tools = present(fields, "tools")
    form = present(fields_of(fields, "text"), "format")
    raws = [raw for raw in (present(fields, "input"), *before) if raw is not None]
    media = {found[1] for raw in raws for found in _MEDIA.finditer(memoryview(raw))}
    reasoning = present(fields, "reasoning")
    effort = None if reasoning is None else decoded(reasoning, _EFFORTS, "reasoning", "an object").effort
    return Needs(
        tools=tools is not None and len(memoryview(tools)) > len(b"[]"),
        schema=form is not None and decoded(form, _FORMATS, "text.format", "an object").type == "json_schema",
        images=b"image" in media,
        documents=b"file" in media,
        audio=b"audio" in media,
        reasoning=effort not in (None, "none"),
    )
