"""Screening inside JSON values: they stay valid JSON, and a field's name counts as words in front of it.

Numbers of seven digits and more are screened too; one that is found becomes a string.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from penstock.guard.finding import Facts, Finding, Findings
from penstock.guard.pseudonyms import Pseudonyms
from penstock.guard.redaction import Redacted, named, rewritten
from penstock.guard.screening import screen

DEPTH_MAX = 64
SIZE_MAX_CHARS = 16 << 20
_NUMBER_MIN = 1_000_000
_NAME_MAX_CHARS = 40


class NotScreened(ValueError):
    """A value that is nested too deep, too large, or not JSON: it must not be passed on."""


class RedactedValue(NamedTuple):
    """A value that may be seen, and how often each entity was taken out of it."""

    value: object
    counts: Mapping[str, int]


Rewrite = Callable[[str, Findings], Redacted]


def redact_value(value: object, entities: frozenset[str]) -> RedactedValue:
    """A copy of a JSON value (of None, bool, int, float, str, list, dict) without these entities, in keys too.

    Raises NotScreened.
    """
    return _rewrite(value, lambda text, found: rewritten(text, found, entities, named))


def hide_value(value: object, entities: frozenset[str], pseudonyms: Pseudonyms) -> RedactedValue:
    """The same with placeholders that `restore_value` turns back. Raises NotScreened."""
    return _rewrite(value, lambda text, found: pseudonyms.hide(text, entities, found))


def restore_value(value: object, pseudonyms: Pseudonyms) -> object:
    """A copy with the values back in the places of their placeholders. Raises NotScreened."""
    return _Walk(lambda text, _: Redacted(pseudonyms.restore(text), {}), screened=False).walk(value, "", 0)


def redact_json(text: str | bytes, entities: frozenset[str]) -> tuple[str, Mapping[str, int]]:
    """A JSON document without these entities, as compact JSON. Raises NotScreened."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise NotScreened("it is not JSON, or nested too deep") from error
    redacted = redact_value(value, entities)
    return msgspec.json.encode(redacted.value).decode(), redacted.counts


def value_facts(value: object) -> Facts:
    """What a policy may ask about a JSON value. Raises NotScreened."""
    seen: list[Facts] = []

    def note(text: str, found: Findings) -> Redacted:
        seen.append(found.facts)
        return Redacted(text, {})

    _Walk(note).walk(value, "", 0)
    facts = Facts()
    for one in seen:
        facts = facts | one
    return facts


def _rewrite(value: object, rewrite: Rewrite) -> RedactedValue:
    walk = _Walk(rewrite)
    return RedactedValue(walk.walk(value, "", 0), dict(walk.counts))


class _Walk:
    """One walk through one value."""

    def __init__(self, rewrite: Rewrite, screened: bool = True) -> None:
        self.counts: Counter[str] = Counter()
        self._rewrite = rewrite
        self._screened = screened
        self._chars = 0

    def walk(self, value: object, name: str, depth: int) -> object:
        if depth > DEPTH_MAX:
            raise NotScreened(f"it is nested deeper than {DEPTH_MAX} levels")
        if isinstance(value, str):
            return self._text(value, name)
        if isinstance(value, dict):
            return self._object(value, depth)
        if isinstance(value, list | tuple):
            return [self.walk(one, name, depth + 1) for one in value]
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int):
            return self._number(value, name)
        raise NotScreened(f"it holds a {type(value).__name__}, which JSON has not")

    def _object(self, value: Mapping[object, object], depth: int) -> dict[str, object]:
        copy: dict[str, object] = {}
        for key, one in value.items():
            if not isinstance(key, str):
                raise NotScreened("it has a key that is not text")
            name = written = self._text(key, "")
            number = 1
            while written in copy:
                number += 1
                written = f"{name} {number}"
            copy[written] = self.walk(one, key, depth + 1)
        return copy

    def _text(self, text: str, name: str) -> str:
        self._chars += len(text)
        if self._chars > SIZE_MAX_CHARS:
            raise NotScreened(f"it is larger than {SIZE_MAX_CHARS} characters")
        found = _screen_named(text, name) if self._screened else Findings()
        redacted = self._rewrite(text, found)
        self.counts.update(redacted.counts)
        return redacted.text

    def _number(self, value: int, name: str) -> object:
        if -_NUMBER_MIN < value < _NUMBER_MIN:
            return value
        text = str(value)
        written = self._text(text, name)
        return value if written == text else written


def _screen_named(text: str, name: str) -> Findings:
    """What is found in a field's text, with the field's name in front."""
    prefix = f"{name[-_NAME_MAX_CHARS:].replace('_', ' ')}: " if name else ""
    skip = len(prefix)
    found = screen(prefix + text).spans
    return Findings(
        tuple(Finding(max(0, start - skip), end - skip, entity) for start, end, entity in found if end > skip)
    )
