"""A run of digits: all digits of a text with at most three separators between two of them, in groups."""

import re
from collections.abc import Callable
from typing import NamedTuple

import re2  # type: ignore[import-untyped]  # it brings no types

from penstock.guard.finding import Finding
from penstock.guard.rule import Match, finding, options
from penstock.guard.view import View

SEVEN = r"\d(?:[ .\-/()\xa0]{0,3}\d){6,}"
RUN = SEVEN.replace("6", "8")  # a date and nothing else has eight digits
_GAPS = re.compile(r"(\D+)")


class Run(NamedTuple):
    """`spans` are of the groups, in the view; `digits` and `gaps` belong to them: the gap in front of each group."""

    view: View
    spans: tuple[tuple[int, int], ...]
    digits: tuple[str, ...]
    gaps: tuple[str, ...]
    lengths: tuple[int, ...]

    def part(self, first: int, count: int) -> str:
        """The digits of so many groups."""
        return "".join(self.digits[first : first + count])

    def shaped(self, first: int, shape: tuple[int, ...]) -> bool:
        """Whether groups of these lengths stand there."""
        return self.lengths[first : first + len(shape)] == shape

    def between(self, first: int, count: int) -> frozenset[str]:
        """The gaps within so many groups."""
        return frozenset(self.gaps[first + 1 : first + count])

    def alone(self, first: int, count: int) -> bool:
        """Whether nothing is glued to either end: a letter, a decimal point, more of the same number."""
        data = self.view.data
        start, end = self.spans[first][0], self.spans[first + count - 1][1]
        before, after = data[max(0, start - 1) : start], data[end : end + 1]
        if before.isalnum() or after.isalnum() or before == b"_" or after == b"_":
            return False
        return not (first and self.gaps[first] == "." and count == 1)

    def finding(self, first: int, count: int, entity: str, opens: int = 0) -> Finding:
        """These groups as an entity; `opens` characters in front belong to it."""
        return finding(self.view, (self.spans[first][0] - opens, self.spans[first + count - 1][1]), entity)

    def context(self, first: int) -> bytes:
        return self.view.before(self.spans[first][0])


def words(*any_of: str) -> Callable[[bytes], bool]:
    """Whether one of these expressions is the last thing in front of a number, but for up to 24 other characters."""
    expression = re2.compile((r"(?i)\b(?:" + "|".join(any_of) + r")\b[^\n\d]{0,24}\z").encode("latin-1"), options())

    def named(before: bytes) -> bool:
        return expression.search(before) is not None

    return named


def run_of(match: Match) -> Run:
    """The groups of a match of RUN."""
    parts = _GAPS.split(match.text.replace("\xa0", " "))
    digits, gaps = tuple(parts[::2]), ("", *parts[1::2])
    spans, at = [], match.it[0]
    for gap, group in zip(gaps, digits, strict=True):
        start = at + len(gap)
        at = start + len(group)
        spans.append((start, at))
    return Run(match.view, tuple(spans), digits, gaps, tuple(map(len, digits)))
