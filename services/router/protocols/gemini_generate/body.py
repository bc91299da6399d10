"""A generateContent request: what a decision needs of it is read, and only its cap is ever replaced. Pure.

The model and whether the answer is streamed stand in the address, not in the body.
"""

import re
from collections.abc import Mapping

import msgspec

from services.router.estimate import Size
from services.router.protocols.gemini_generate.fields import (
    Fields,
    Malformed,
    camel,
    checked,
    entries,
    fields,
    flag,
    is_null,
    items,
    text,
    whole,
)
from services.router.protocols.gemini_generate.generation import PATH, at_least_one, candidates
from services.router.protocols.gemini_generate.request import read_prompt
from services.router.protocols.prompt import Prompt
from services.router.protocols.protocol import Needs, Target

_IN_LINE = re.compile(rb'"data"\s*:\s*"([A-Za-z0-9+/=_-]{64,})"')
_TYPE = re.compile(rb'"mime_?[tT]ype"\s*:\s*"(image|audio|video|application|text)/')
_CAP = "maxOutputTokens"
_SCHEMAS = frozenset({"responseSchema", "responseJsonSchema", "_responseJsonSchema"})
_INNER = "generateContentRequest"


class GeminiBody:
    """One request. `streamed`: as its address says."""

    __slots__ = ("_fields", "_raw", "choices", "model", "needs", "output_tokens", "size", "streamed")

    def __init__(self, raw: bytes, found: Fields, model: str, *, streamed: bool) -> None:
        """Raises Malformed."""
        self._raw = raw
        self._fields = found
        self.model = model.removeprefix("models/")
        self.streamed = streamed
        config = fields(found[PATH], PATH) if PATH in found else {}
        self.choices = candidates(config)
        self.output_tokens = at_least_one(config, _CAP) or 0
        self.size, types = measured(found)
        self.needs = _needs(found, config, types)

    @property
    def wants_usage(self) -> bool:
        """Every answer of this protocol tells it."""
        return True

    @property
    def echo(self) -> Mapping[str, msgspec.Raw]:
        return {}

    def for_upstream(self, target: Target) -> bytes:
        """The very bytes that came, but for a cap above the target's, or a model named in the body."""
        cap = target.output_tokens_max
        lower = cap > 0 and not 0 < self.output_tokens <= cap
        if not lower and "model" not in self._fields:
            return self._raw
        found = entries(self._raw, "the request")
        if "model" in found:
            found["model"] = msgspec.Raw(msgspec.json.encode(f"models/{target.model}"))
        if lower:
            _capped(found, cap)
        return msgspec.json.encode(found)

    def prompt(self) -> Prompt:
        try:
            return read_prompt(self._fields)
        except Malformed as error:
            raise error.invalid() from None


def read_body(body: bytes, model: str, *, streamed: bool) -> GeminiBody:
    """Raises Failure(INVALID) that names the field at fault. What only the provider can judge is left to it.

    A request to count tokens may hold the request to be counted.
    """
    try:
        found = fields(checked(body), "the request")
        if _INNER in found and "contents" not in found:
            body = bytes(found[_INNER])
            found = fields(body, _INNER)
        contents = found.get("contents")
        if contents is not None and memoryview(contents)[0] not in b"[{":
            raise Malformed("contents", "must be a list")
        return GeminiBody(body, found, model, streamed=streamed)
    except Malformed as error:
        raise error.invalid() from None


def measured(found: Fields) -> tuple[Size, frozenset[str]]:
    """How large the prompt is, and which kinds of media types it names. In-line data counts as one medium each."""
    length, images, skipped = 0, 0, 0
    types: set[str] = set()
    for name in ("contents", "systemInstruction", "tools"):
        raw = found.get(name)
        if raw is None:
            continue
        held = memoryview(raw)
        length += len(held)
        for data in _IN_LINE.finditer(held):
            images += 1
            skipped += data.end(1) - data.start(1)
        types |= {bytes(kind).decode() for kind in set(_TYPE.findall(held))}
    return Size(length - skipped, images), frozenset(types)


def _needs(found: Fields, config: Fields, types: frozenset[str]) -> Needs:
    mime = text(config, "responseMimeType", PATH)
    return Needs(
        tools=bool(items(found.get("tools"), "tools")),
        schema=mime == "text/x.enum" or not _SCHEMAS.isdisjoint(config),
        images=not types.isdisjoint({"image", "video"}),
        documents=not types.isdisjoint({"application", "text"}),
        audio="audio" in types,
        reasoning=_reasons(config),
    )


def _reasons(config: Fields) -> bool:
    raw = config.get("thinkingConfig")
    if raw is None:
        return False
    path = f"{PATH}.thinkingConfig"
    found = fields(raw, path)
    if flag(found, "includeThoughts", path) or "thinkingLevel" in found:
        return True
    return (whole(found, "thinkingBudget", path) or 0) != 0


def _capped(found: dict[str, msgspec.Raw], cap: int) -> None:
    """Sets the cap where it stands, in the spelling it stands in."""
    for outer in [name for name in found if camel(name) == PATH and not is_null(found[name])] or [PATH]:
        config = entries(found[outer], PATH) if outer in found and not is_null(found[outer]) else {}
        inner = [name for name in config if camel(name) == _CAP] or [_CAP]
        config |= {name: msgspec.Raw(b"%d" % cap) for name in inner}
        found[outer] = msgspec.Raw(msgspec.json.encode(config))
