"""Reversible placeholders: `[EMAIL_1_k3f9]` goes out instead of an address, and the address comes back where it stands.

What already looks like such a placeholder is given one itself: `restore(hide(text)) == text` for every text.
"""

import re
from collections import Counter

from penstock.guard.finding import Finding, Findings
from penstock.guard.redaction import Redacted, joined
from penstock.guard.screening import screen

LITERAL = "TEXT"
PLACEHOLDER_MAX_CHARS = 64
_TAG = re.compile(r"[a-z0-9]{4,16}\Z")


class Pseudonyms:
    """What stands for what, within one attempt, in memory alone. One value has one placeholder.

    `tag` tells these placeholders from all others: let it be one that who writes the texts cannot guess, or a tool's
    output might ask for what it has not seen. After `kept_max` values the rest are redacted for good.
    """

    def __init__(self, tag: str, kept_max: int = 10_000) -> None:
        """Raises ValueError for a tag that is not 4 to 16 of a-z and 0-9."""
        if _TAG.match(tag) is None:
            raise ValueError("a tag of pseudonyms is 4 to 16 of a-z and 0-9")
        self._tag = tag
        self._kept_max = kept_max
        self._alike = re.compile(rf"\[[A-Z][A-Z_]{{0,31}}_[0-9]{{1,9}}_{tag}\]")
        self._values: dict[str, str] = {}
        self._placeholders: dict[tuple[str, str], str] = {}
        self._numbers: Counter[str] = Counter()

    def hide(self, text: str, entities: frozenset[str], findings: Findings | None = None) -> Redacted:
        """The text with placeholders for these entities. `findings`: where the text was screened already."""
        spans = [one for one in (findings or screen(text)).spans if one.entity in entities]
        spans += [Finding(*match.span(), LITERAL) for match in self._alike.finditer(text)]
        pieces: list[str] = []
        counts: Counter[str] = Counter()
        at = 0
        for start, end, entity in joined(spans):
            pieces += (text[at:start], self._placeholder(entity, text[start:end]))
            counts[entity] += entity != LITERAL
            at = end
        pieces.append(text[at:])
        return Redacted("".join(pieces), {entity: count for entity, count in counts.items() if count})

    def restore(self, text: str) -> str:
        """The text with the values back; one pass, so that a value is never read for placeholders."""
        if not self._values:
            return text
        return self._alike.sub(lambda match: self._values.get(match[0], match[0]), text)

    def unfinished(self, text: str) -> int:
        """Where a placeholder may have begun that is not whole yet; the text's length for nowhere."""
        at = text.rfind("[", max(0, len(text) - PLACEHOLDER_MAX_CHARS))
        if not self._values or at < 0 or "]" in text[at:]:
            return len(text)
        return at

    def _placeholder(self, entity: str, value: str) -> str:
        known = self._placeholders.get((entity, value))
        if known is not None:
            return known
        if len(self._values) >= self._kept_max:
            return f"[{entity}]"
        self._numbers[entity] += 1
        made = f"[{entity}_{self._numbers[entity]}_{self._tag}]"
        self._placeholders[entity, value] = made
        self._values[made] = value
        return made


class RestoreStream:
    """The values put back into a stream: a placeholder split over frames is found; at most one is held back."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms
        self._held = ""

    def feed(self, text: str) -> str:
        """What may be passed on now."""
        text = self._held + text
        cut = self._pseudonyms.unfinished(text)
        self._held = text[cut:]
        return self._pseudonyms.restore(text[:cut])

    def flush(self) -> str:
        """The rest, at the end of the stream."""
        rest, self._held = self._held, ""
        return self._pseudonyms.restore(rest)
