"""What screening found: spans of a text, which of them stand where they overlap, and the facts for policies."""

from collections.abc import Iterable
from typing import NamedTuple

from penstock.guard.entity import HIDDEN_TEXT, INSTRUCTIONS, PERSONAL, SECRETS

# Where two findings overlap, the higher one stands. The other is dropped when it is misread by that (an address that
# begins in a password) or lies within it; where numbers overlap and it sticks out, both stand: what is dropped would
# stay in the text. Equals with one span both stand.
# What is not listed has 1. Hidden text and instructions stand beside all others.
_RANKS = {
    "PRIVATE_KEY": 9,
    "API_KEY": 8,
    "TOKEN": 8,
    "PASSWORD": 7,
    "CRYPTO": 7,
    "EMAIL": 6,
    "IBAN": 6,
    "CARD": 5,
    "MAC": 5,
    "IP": 5,
    "CODICE_FISCALE": 5,
    "SSN": 4,
    "ITIN": 4,
    "NINO": 4,
    "AADHAAR": 4,
    "CPF": 4,
    "DNI": 4,
    "NIR": 4,
    "PASSPORT": 4,
    "ABA": 4,
    "SIN": 4,
    "BIRTH_DATE": 4,
    "NHS": 3,
    "PHONE": 3,
}
_MISREAD = 6
"""What overlaps something of this rank is no finding of its own."""
_BESIDE = frozenset({HIDDEN_TEXT, INSTRUCTIONS})


class Finding(NamedTuple):
    """`text[start:end]` is an entity. Characters of the text as it was given, not bytes."""

    start: int
    end: int
    entity: str


class Facts(NamedTuple):
    """What policies may know of a text: never the text itself."""

    personal: frozenset[str] = frozenset()
    secrets: bool = False
    hidden_text: bool = False
    instructions: bool = False

    def __or__(self, other: "Facts") -> "Facts":
        """The facts of both texts together."""
        return Facts(
            self.personal | other.personal,
            self.secrets or other.secrets,
            self.hidden_text or other.hidden_text,
            self.instructions or other.instructions,
        )


class Findings(NamedTuple):
    """All findings of one text, by start. Two of them overlap where a span may be either, where each sticks out of the
    other, or where it is hidden as well."""

    spans: tuple[Finding, ...] = ()

    @property
    def entities(self) -> frozenset[str]:
        return frozenset(span.entity for span in self.spans)

    @property
    def facts(self) -> Facts:
        found = self.entities
        return Facts(
            found & PERSONAL,
            not SECRETS.isdisjoint(found),
            HIDDEN_TEXT in found,
            INSTRUCTIONS in found,
        )

    @property
    def secrets(self) -> bool:
        return self.facts.secrets

    @property
    def hidden(self) -> bool:
        return self.facts.hidden_text

    @property
    def instructions(self) -> bool:
        return self.facts.instructions

    def of(self, entities: frozenset[str]) -> "Findings":
        """Those of these entities."""
        return Findings(tuple(span for span in self.spans if span.entity in entities))


def rank(entity: str) -> int:
    """Which of two overlapping findings stands: the one that ranks higher."""
    return _RANKS.get(entity, 1)


def resolved(found: Iterable[Finding]) -> Findings:
    """The findings that stand, by start. Sorts, then looks at neighbours only."""
    beside = [one for one in found if one.entity in _BESIDE]
    others = sorted({one for one in found if one.entity not in _BESIDE})
    kept: list[Finding] = []
    for one in others:
        stands = True
        while kept and kept[-1].end > one.start:
            last = kept[-1]
            if _replaces(one, last):
                kept.pop()
                continue
            stands = not _replaces(last, one)
            break
        if stands:
            kept.append(one)
    return Findings(tuple(sorted({*kept, *beside})))


def _replaces(one: Finding, other: Finding) -> bool:
    return _beats(one, other) and (rank(one.entity) >= _MISREAD or _within(other, one))


def _within(one: Finding, other: Finding) -> bool:
    return other.start <= one.start and one.end <= other.end


def _beats(one: Finding, other: Finding) -> bool:
    mine, its = rank(one.entity), rank(other.entity)
    return mine > its or (mine == its and one.end - one.start > other.end - other.start)
