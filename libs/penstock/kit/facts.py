"""What an audit record keeps of a question: enough to explain it and to ask it again. Pure.

Never content: the arguments of a tool stay out. Bounded: long texts and lists are cut, and what is cut is named.
"""

from penstock.contracts.policy import Fact, Question

RESOURCE_MAX = 256
FACTS_MAX_BYTES = 8 * 1024
"""Of all facts and properties of one record together."""
TEXT_MAX = 256
ITEMS_MAX = 64


def resource_name(question: Question) -> str:
    """The resource in Cedar's spelling, cut: a caller may have named it."""
    return f'{question.resource.type}::"{question.resource.id[:RESOURCE_MAX]}"'


def kept(question: Question) -> tuple[dict[str, Fact], dict[str, Fact], tuple[str, ...]]:
    """The resource's properties, the question's facts, and the names of those that are not kept whole."""
    withheld = ["input"] if bytes(question.input) else []
    left = FACTS_MAX_BYTES
    found: list[dict[str, Fact]] = []
    for facts in (question.context, question.resource.properties):
        whole: dict[str, Fact] = {}
        for name, value in facts.items():
            cut = _cut(value)
            size = len(name) + _size(cut)
            if cut != value or size > left:
                withheld.append(name[:TEXT_MAX])
            if size <= left:
                whole[name] = cut
                left -= size
        found.append(whole)
    return found[1], found[0], tuple(withheld)


def _cut(value: Fact) -> Fact:
    if isinstance(value, str):
        return value[:TEXT_MAX]
    if isinstance(value, list):
        return [item[:TEXT_MAX] for item in value[:ITEMS_MAX]]
    return value


def _size(value: Fact) -> int:
    if isinstance(value, str):
        return len(value) * 4
    return sum(len(item) * 4 + 3 for item in value) if isinstance(value, list) else 20
