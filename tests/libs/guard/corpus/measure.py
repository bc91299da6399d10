"""What screening finds of the corpus: recall and precision of each entity.

Recall: of the spans that stand there, how many are covered by a finding of their entity. Precision: of the findings,
how many touch such a span of their entity. A number that may be of either of two kinds is right as both.
"""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from penstock.guard import INSTRUCTIONS, Finding, screen

EITHER = {"PHONE": "NHS"}  # 447 712 3456 in threes and fours: nobody can tell
CORPUS = Path(__file__).with_name("corpus.jsonl")


class Score(NamedTuple):
    """Counts: spans in usual and in hard forms, those of them that were found, findings, right ones."""

    usual: int
    usual_found: int
    hard: int
    hard_found: int
    findings: int
    right: int

    @property
    def recall(self) -> float:
        """Of the usual forms."""
        return self.usual_found / self.usual

    @property
    def precision(self) -> float:
        return self.right / self.findings


class Case(NamedTuple):
    text: str
    spans: tuple[Finding, ...]
    hard: bool


def corpus() -> list[Case]:
    made = [json.loads(line) for line in CORPUS.read_text().splitlines()]
    return [Case(one["text"], tuple(Finding(*span) for span in one["spans"]), "hard" in one) for one in made]


def scores() -> Mapping[str, Score]:
    counts: Counter[tuple[str, str]] = Counter()
    for case in corpus():
        seen = [one for one in screen(case.text).spans if one.entity != INSTRUCTIONS]
        form = "hard" if case.hard else "usual"
        for span in case.spans:
            counts[span.entity, form] += 1
            counts[span.entity, f"{form} found"] += any(covers(one, span) for one in seen)
        for one in seen:
            counts[one.entity, "findings"] += 1
            counts[one.entity, "right"] += any(touches(one, span) for span in case.spans)
    names = ("usual", "usual found", "hard", "hard found", "findings", "right")
    entities = sorted({entity for entity, _ in counts})
    return {entity: Score(*(counts[entity, name] for name in names)) for entity in entities}


def table() -> str:
    """The page's table."""
    rows = ["| entity | usual forms found | hard forms found | recall, usual | precision |", "|---|---|---|---|---|"]
    for entity, one in scores().items():
        hard = f"{one.hard_found} of {one.hard}" if one.hard else ""
        found = f"{one.usual_found} of {one.usual}"
        rows.append(f"| {entity} | {found} | {hard} | {one.recall:.3f} | {one.precision:.3f} |")
    return "\n".join(rows) + "\n"


def covers(one: Finding, span: Finding) -> bool:
    return one.entity == span.entity and one.start <= span.start and one.end >= span.end


def touches(one: Finding, span: Finding) -> bool:
    return span.entity in (one.entity, EITHER.get(one.entity)) and one.start < span.end and span.start < one.end


def misses() -> list[str]:
    """For whoever improves the rules: python -m tests.libs.guard.corpus.measure"""
    told = []
    for case in corpus():
        seen = [one for one in screen(case.text).spans if one.entity != INSTRUCTIONS]
        for span in case.spans:
            if not any(covers(one, span) for one in seen):
                told.append(f"missed {span.entity}: {case.text!r} {seen}")
        for one in seen:
            if not any(touches(one, span) for span in case.spans):
                told.append(f"wrong {one.entity} {case.text[one.start : one.end]!r}: {case.text!r}")
    return told


if __name__ == "__main__":
    print("\n".join(misses()), table(), sep="\n")  # noqa: T201
