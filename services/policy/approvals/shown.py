"""What an approver may read of a question's arguments: cut, on one line, without personal data and secrets. Pure."""

import re

import msgspec

from penstock.contracts.policy import Fact, Question
from penstock.guard import GROUPS, redact
from services.policy.approvals.text import plain

SUMMARY_MAX = 2000
FACTS_MAX = 32
FACT_MAX = 200
ITEMS_MAX = 16
FACTS_MAX_CHARACTERS = 4000
"""Of all facts of one approval together."""
DEPTH_MAX = 6
HIDDEN = "[hidden]"
_SECRET_NAME = re.compile(r"passw|secret|token|credential|authori[sz]ation|api.?key|private.?key|cookie", re.I)


def shown_input(question: Question) -> str:
    """The arguments as JSON, values under names of secrets left out; "" where there are none."""
    if not bytes(question.input):
        return ""
    try:
        arguments: object = msgspec.json.decode(question.input)
    except (msgspec.DecodeError, RecursionError):
        return ""
    return redacted(msgspec.json.encode(_without_secrets(arguments, DEPTH_MAX)).decode(), SUMMARY_MAX)


def shown_facts(question: Question) -> dict[str, Fact]:
    """Facts and properties, the first of many."""
    shown: dict[str, Fact] = {}
    left = FACTS_MAX_CHARACTERS
    for name, value in [*question.resource.properties.items(), *question.context.items()][:FACTS_MAX]:
        fact = _shown(value)
        left -= len(name) + len(str(fact))
        if left < 0:
            break
        shown[plain(name, FACT_MAX)] = fact
    return shown


def redacted(text: str, most: int) -> str:
    """The text with the names of what it holds instead of personal data and secrets."""
    # what is cut off needs no look, but a value that the cut goes through does
    return plain(redact(text[: most * 4], GROUPS["all"]).text, most)


def _shown(value: Fact) -> Fact:
    if isinstance(value, str):
        return redacted(value, FACT_MAX)
    if isinstance(value, list):
        return [redacted(item, FACT_MAX) for item in value[:ITEMS_MAX]]
    return value


def _without_secrets(value: object, depth: int) -> object:
    if depth == 0:
        return "…"
    if isinstance(value, dict):
        return {
            str(name): HIDDEN if _SECRET_NAME.search(str(name)) else _without_secrets(one, depth - 1)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(one, depth - 1) for one in value[:ITEMS_MAX]]
    return value
