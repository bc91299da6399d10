"""Redaction: `[EMAIL]` instead of an address. Hidden text is taken out, everything else leaves its name."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from penstock.guard.entity import HIDDEN_TEXT
from penstock.guard.finding import Finding, Findings, rank
from penstock.guard.screening import screen

Write = Callable[[str, str], str]
"""What to write instead: of an entity's name and the text that was found."""


class Redacted(NamedTuple):
    """A text that may be seen, and how often each entity was taken out of it."""

    text: str
    counts: Mapping[str, int]


def redact(text: str, entities: frozenset[str]) -> Redacted:
    """The text without these entities (entity.py `chosen` reads names and groups)."""
    return rewritten(text, screen(text), entities, named)


def named(entity: str, text: str) -> str:
    """The entity's name in brackets; nothing for what cannot be seen."""
    return "" if entity == HIDDEN_TEXT else f"[{entity}]"


def rewritten(text: str, findings: Findings, entities: frozenset[str], write: Write) -> Redacted:
    """The text with something else in place of every finding of these entities."""
    pieces: list[str] = []
    counts: Counter[str] = Counter()
    at = 0
    for start, end, entity in joined(span for span in findings.spans if span.entity in entities):
        pieces += (text[at:start], write(entity, text[start:end]))
        counts[entity] += 1
        at = end
    pieces.append(text[at:])
    return Redacted("".join(pieces), dict(counts))


def joined(spans: Iterable[Finding]) -> list[Finding]:
    """Overlapping spans as one, by start, under the name that ranks highest; what is hidden whole is hidden text."""
    merged: list[Finding] = []
    for span in sorted(spans):
        last = merged[-1] if merged else None
        if last is None or span.start >= last.end:
            merged.append(span)
            continue
        entity = max(last.entity, span.entity, key=lambda name: (name != HIDDEN_TEXT, rank(name)))
        if last.entity == HIDDEN_TEXT and last.end >= span.end:
            entity = HIDDEN_TEXT
        merged[-1] = Finding(last.start, max(last.end, span.end), entity)
    return merged
