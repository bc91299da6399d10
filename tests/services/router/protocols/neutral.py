"""Answers and prompts of any shape, for the properties that every protocol must have."""

import msgspec
from hypothesis import strategies as st

from penstock.contracts.llm import Usage
from services.router.protocols.answer import Answer, AnswerPart, Choice, Finish
from services.router.protocols.part import Media, Text, Thinking, ToolCall, ToolResult
from services.router.protocols.prompt import Prompt, Role, Tool, Turn

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=40)
names = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
ids = st.from_regex(r"call_[a-zA-Z0-9]{4,12}", fullmatch=True)
arguments = st.sampled_from(
    ["{}", '{"city":"Paris"}', '{"a":[1,2,{"b":null}],"c":"\\u00e9\\n"}', '{"x": 1.5, "y": ""}']
)

_SCHEMA = msgspec.Raw(b'{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}')


def usages() -> st.SearchStrategy[Usage]:
    number = st.integers(0, 10_000)
    return st.builds(
        lambda uncached, read, write, output, reasoning: Usage(uncached, read, write, output, min(reasoning, output)),
        *[number] * 5,
    )


def calls() -> st.SearchStrategy[ToolCall]:
    return st.builds(ToolCall, ids, names, arguments)


@st.composite
def choices(draw: st.DrawFn, *, thinking: bool) -> Choice:
    """Thoughts first, then words, then calls: the order that every protocol can say."""
    parts: list[AnswerPart] = []
    if thinking and draw(st.booleans()):
        parts.append(Thinking(draw(words), draw(names)))
    if draw(st.booleans()):
        parts.append(Text(draw(words)))
    asked = draw(st.lists(calls(), max_size=3, unique_by=lambda call: call.id))
    parts += asked
    if asked:
        return Choice(tuple(parts), Finish.TOOLS)
    return Choice(tuple(parts), draw(st.sampled_from([Finish.STOP, Finish.LENGTH])))


@st.composite
def answers(draw: st.DrawFn, *, thinking: bool = False, choices_max: int = 1) -> Answer:
    """`thinking`: with signed thoughts, which not every protocol can say."""
    found = draw(st.lists(choices(thinking=thinking), min_size=1, max_size=choices_max))
    return Answer(tuple(found), draw(names), draw(names), draw(usages()))


@st.composite
def turns(draw: st.DrawFn) -> tuple[Turn, ...]:
    """A legal history: every call has its result in the next turn, in any order; the user speaks last."""
    made: list[Turn] = []
    if draw(st.booleans()):
        made.append(Turn("system", (Text(draw(words)),)))
    for number in range(draw(st.integers(1, 3))):
        made.append(_turn("user", draw(words)))
        found = draw(st.lists(calls(), max_size=3))
        asked = [ToolCall(f"{call.id}{number}{at}", call.name, call.arguments) for at, call in enumerate(found)]
        if asked:
            said = (Text(draw(words)),) if draw(st.booleans()) else ()
            made.append(Turn("assistant", (*said, *asked)))
            results = [ToolResult(call.id, (Text(draw(words)),), call.name) for call in draw(st.permutations(asked))]
            made.append(Turn("tool", tuple(results)))
        made.append(_turn("assistant", draw(words)))
    made.append(Turn("user", (Text(draw(words)), *draw(st.lists(images(), max_size=2)))))
    return tuple(made)


def images() -> st.SearchStrategy[Media]:
    return st.just(Media("image", "image/png", "iVBORw0KGgo="))


@st.composite
def prompts(draw: st.DrawFn, origin: str) -> Prompt:
    """What every protocol can carry without a loss."""
    tools = draw(st.lists(names, max_size=3, unique=True))
    return Prompt(
        origin=origin,
        turns=draw(turns()),
        tools=tuple(Tool(name, draw(words), _SCHEMA) for name in tools),
        output_tokens=draw(st.integers(1, 4096)),
    )


def _turn(role: Role, text: str) -> Turn:
    return Turn(role, (Text(text),))
