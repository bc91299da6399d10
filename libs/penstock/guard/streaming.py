"""Redaction of a stream: a match split over any number of frames is found, because what may become one is held back.

Held back is the last word, number or group of digits, and a key block, comment or escape that has not ended yet.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import re2  # type: ignore[import-untyped]  # it brings no types

from penstock.guard.finding import Facts, Finding, Findings, resolved
from penstock.guard.hidden import comment_end
from penstock.guard.redaction import Write, joined, named
from penstock.guard.rule import options
from penstock.guard.screening import candidates
from penstock.guard.secret import KEY_HEADER, key_block_open
from penstock.guard.view import REACH_MAX_CHARS, View

HELD_MAX_CHARS = 8192

_MONTH = r"(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]{0,6}"
# What may be the beginning of a match when the text ends here; each is at least as wide as the rules that it is for.
_OPEN = (
    r"[^\s\"]+",  # a word, an address, a key
    r"[+(]{0,2}\d(?:[ .\-/()\xa0]{0,3}\d)*[ .\-/()\xa0]{0,4}",  # a run of digits
    r"\b[A-Za-z]{2}\d{2}(?:[ \xa0.\-]?[A-Za-z0-9]){0,43}[ \xa0.\-]?",  # an IBAN
    r"\b[A-Za-z]{1,2}[ \-](?:\d(?:[ \-]?\d){0,6}[ \-]?[A-Za-z]?)?",  # a NINO, a NIE
    r"\b\d{8}[ \-][A-Za-z]?",  # a DNI
    r"\b\d{1,2}(?:st|nd|rd|th)?[ \-](?i:[a-z]{0,9}),?[ \-]?\d{0,4}",  # a date in words
    rf"\b{_MONTH} (?:\d{{1,2}}(?:st|nd|rd|th)?,? ?\d{{0,4}})?",
    r"-----BEGIN(?: [A-Z0-9]{0,12}){0,6}-{0,5}",  # a key block's header
)
_UNFINISHED = re2.compile(("(?:" + "|".join(_OPEN) + r")\z").encode("latin-1"), options())
_HEADER = re2.compile(KEY_HEADER.encode(), options())
_WORD_REST = re.compile(r'\A[^\s"]+')
_ESCAPE = re.compile("\x1b[\\]PX^_][^\x07\x1b\n]{0,256}\\Z")


class StreamScreen:
    """One stream of text. `counts` and `facts` tell what was found so far in what was passed on."""

    def __init__(self, entities: frozenset[str], write: Write = named, held_max_chars: int = HELD_MAX_CHARS) -> None:
        self._entities = entities
        self._write = write
        self._held_max = held_max_chars
        self._before = ""
        self._held = ""
        self._counts: Counter[str] = Counter()
        self._facts = Facts()
        self._swallowing = False

    @property
    def counts(self) -> Mapping[str, int]:
        return dict(self._counts)

    @property
    def facts(self) -> Facts:
        return self._facts

    def feed(self, text: str) -> str:
        """What may be passed on now, redacted."""
        return self._pass(text, ended=False)

    def flush(self) -> str:
        """The rest, at the end of the stream."""
        return self._pass("", ended=True)

    def _pass(self, text: str, ended: bool) -> str:
        if self._swallowing:
            text = _WORD_REST.sub("", text, count=1)
            self._swallowing = not text and not ended
        offset = len(self._before)
        buffer = self._before + self._held + text
        if len(buffer) == offset:
            return ""
        view = View(buffer)
        cut = len(buffer) if ended else max(offset, _settled(view))
        if cut == offset and len(buffer) - cut <= self._held_max:
            self._held = buffer[offset:]
            return ""
        possible = candidates(view)
        found = resolved(possible)
        ours = [span for span in found.spans if span.end > offset and span.entity in self._entities]
        cut = _before_straddling([span for span in possible if span.entity in self._entities], cut)
        if len(buffer) - cut > self._held_max:
            cut = self._forced(ours, len(buffer))
        passed = self._written(buffer, ours, offset, cut)
        self._note(found, offset, cut)
        self._before, self._held = buffer[max(0, cut - REACH_MAX_CHARS) : cut], buffer[cut:]
        return passed

    def _forced(self, ours: Sequence[Finding], end: int) -> int:
        """More is open than may be held: half of it goes; a match that is still going on is never shown in part."""
        cut = end - self._held_max // 2
        if any(span.start < cut and span.end == end for span in ours):
            self._swallowing = True
            return end
        return max((span.end for span in ours if span.start < cut < span.end), default=cut)

    def _written(self, buffer: str, ours: Sequence[Finding], offset: int, cut: int) -> str:
        pieces: list[str] = []
        at = offset
        for start, end, entity in joined(span for span in ours if span.end <= cut):
            pieces += (buffer[at : max(at, start)], self._write(entity, buffer[max(at, start) : end]))
            self._counts[entity] += 1
            at = end
        pieces.append(buffer[at:cut])
        return "".join(pieces)

    def _note(self, found: Findings, offset: int, cut: int) -> None:
        self._facts = self._facts | Findings(tuple(span for span in found.spans if offset < span.end <= cut)).facts


def _settled(view: View) -> int:
    """Up to where nothing that follows can change what was found; a place in the text as it was given."""
    text = view.text
    match = _UNFINISHED.search(view.data)
    settled = view.origin(match.start()) if match is not None else view.origin_end(len(view.data))
    comment = text.rfind("<!--")
    if comment >= 0 and comment_end(text, comment) == len(text) and not text.endswith("-->"):
        settled = min(settled, comment)
    escape = _ESCAPE.search(text)
    if escape is not None:
        settled = min(settled, escape.start())
    for header in _HEADER.finditer(view.data):
        if key_block_open(view, header.span()):
            return min(settled, view.origin(header.start()))
    return settled


def _before_straddling(possible: Sequence[Finding], cut: int) -> int:
    """The cut, moved in front of every finding that it would go through."""
    for span in sorted(possible, reverse=True):
        if span.start < cut < span.end:
            cut = span.start
    return cut
