"""A rule: where to look (an RE2 expression, linear in time whatever it is given) and what is really there (a function).

A gate tells in one pass over a text which of many rules have anything to look at.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import re2  # type: ignore[import-untyped]  # it brings no types

from penstock.guard.finding import Finding
from penstock.guard.view import View

# A rule's and a gate's automata are built as they are needed and thrown away when they outgrow this.
AUTOMATON_MAX_BYTES = 32 << 20

_NAME_MAX_CHARS = 64

Span = tuple[int, int]


class Match(NamedTuple):
    """Places in `view.data`; `of` is the whole, or the group named `it`, or (-1, -1) where that took no part."""

    view: View
    whole: Span
    it: Span

    @property
    def text(self) -> str:
        """What `it` is, one character for each byte."""
        return self.view.data[self.it[0] : self.it[1]].decode("latin-1")

    def finding(self, entity: str) -> Finding:
        """`it`, in the text as it was given."""
        return finding(self.view, self.it, entity)


Judge = Callable[[Match], Iterator[Finding]]


def finding(view: View, span: Span, entity: str) -> Finding:
    """A span of the view, in the text as it was given."""
    return Finding(view.origin(span[0]), view.origin_end(span[1]), entity)


class Rule:
    """An expression over the bytes of a view; what it finds is judged one by one, without regard to other rules.

    `resume`: where to look on after a match. `end` suits expressions that take all they can; `start` those of bounded
    length that may take in the beginning of the next match; `it` those whose value, if short, may itself name a value.
    """

    def __init__(self, pattern: str, judge: Judge, resume: Literal["end", "start", "it"] = "end") -> None:
        self.pattern = pattern.encode("latin-1")
        self._judge = judge
        self._resume = resume
        self._expression = re2.compile(self.pattern, options())
        self._group = 1 if self._expression.groups else 0

    def findings(self, view: View) -> Iterator[Finding]:
        if self._resume == "end":
            for match in self._expression.finditer(view.data):
                whole = match.span()
                yield from self._judge(Match(view, whole, match.span(1) if self._group else whole))
            return
        match = self._expression.search(view.data)
        while match is not None:
            whole, it = match.span(), match.span(self._group)
            yield from self._judge(Match(view, whole, it))
            short = it[1] - it[0] <= _NAME_MAX_CHARS
            after = whole[0] + 1 if self._resume == "start" else it[0] if short else it[1]
            match = self._expression.search(view.data, after)


class Gate:
    """Many rules, of which most have nothing to look at in most texts."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = tuple(rules)
        self._set = re2.Set.SearchSet(options())
        for rule in rules:
            self._set.Add(rule.pattern)
        self._set.Compile()

    def findings(self, view: View) -> Iterator[Finding]:
        for index in sorted(self._set.Match(view.data) or ()):
            yield from self._rules[index].findings(view)


def options() -> "re2.Options":
    """One byte is one character; nothing is logged."""
    chosen = re2.Options()
    chosen.encoding = re2.Options.Encoding.LATIN1
    chosen.log_errors = False
    chosen.max_mem = AUTOMATON_MAX_BYTES
    return chosen
