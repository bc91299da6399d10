"""The pieces of a stream, folded, are the whole answer."""

from hypothesis import given

from services.router.protocols.answer import (
    Answer,
    Begun,
    Choice,
    Ended,
    Finish,
    Finished,
    Grown,
    Opened,
    Piece,
)
from services.router.protocols.fold import fold, unfold
from services.router.protocols.part import Text, Thinking, ToolCall
from tests.services.router.protocols.neutral import answers


@given(answers())
def test_an_answer_taken_apart_and_put_together_is_the_same(answer: Answer) -> None:
    assert fold(unfold(answer)) == answer


def test_parts_that_grow_at_the_same_time_are_kept_apart() -> None:
    pieces: list[Piece] = [
        Opened("id", "m"),
        Begun(Thinking(), 0),
        Grown(0, text="hm", signature="sig"),
        Ended(0),
        Begun(Text(""), 1),
        Begun(ToolCall("a", "f"), 2),
        Begun(ToolCall("b", "g"), 3),
        Grown(2, arguments='{"x"'),
        Grown(3, arguments="{}"),
        Grown(1, text="so"),
        Grown(2, arguments=":1}"),
        Finished(Finish.TOOLS),
    ]
    parts = (Thinking("hm", "sig"), Text("so"), ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}"))
    assert fold(pieces) == Answer((Choice(parts, Finish.TOOLS),), "id", "m")
