"""What makes two requests the same."""

import pytest

from services.router.cache.key import Circle, exact, question, surroundings
from services.router.protocols.part import Media, Text
from services.router.protocols.prompt import Prompt, Turn

CIRCLE = Circle("acme", "user:alice", "chat", ("one@1",), "openai.chat")
BODY = b'{"model":"chat","messages":[{"role":"user","content":"hi"}],"temperature":0}'


def test_the_order_of_fields_and_those_without_effect_do_not_matter() -> None:
    other = b'{"temperature":0, "stream":true, "user":"u", "messages":[{"role":"user","content":"hi"}], "model":"chat"}'
    assert exact(CIRCLE, BODY) == exact(CIRCLE, other)


@pytest.mark.parametrize(
    "other",
    [
        b'{"model":"chat","messages":[{"role":"user","content":"hi"}],"temperature":0.1}',
        b'{"model":"chat","messages":[{"role":"user","content":"Hi"}],"temperature":0}',
        b'{"model":"chat","messages":[{"role":"user","content":"hi"}],"temperature":0,"seed":1}',
        b'{"model":"chat","messages":[{"role":"user","content":"hi"}]}',
    ],
)
def test_every_field_that_matters_does(other: bytes) -> None:
    assert exact(CIRCLE, BODY) != exact(CIRCLE, other)


@pytest.mark.parametrize(
    "other",
    [
        Circle("evil", "user:alice", "chat", ("one@1",), "openai.chat"),
        Circle("acme", "user:bob", "chat", ("one@1",), "openai.chat"),
        Circle("acme", "user:alice", "chat2", ("one@1",), "openai.chat"),
        Circle("acme", "user:alice", "chat", ("one@2",), "openai.chat"),
        Circle("acme", "user:alice", "chat", ("one@1",), "openai.responses"),
        Circle("acme", "user:alice", "chat", ("one@1",), "openai.chat", headers={"openai-beta": "x"}),
        Circle("acme", "user:alicechat", "", ("one@1",), "openai.chat"),
    ],
)
def test_no_circle_has_the_keys_of_another(other: Circle) -> None:
    assert exact(CIRCLE, BODY) != exact(other, BODY)


def prompt(*turns: Turn, user: str = "") -> Prompt:
    return Prompt(origin="openai.chat", turns=turns, user=user)


def test_questions_are_compared_only_where_all_else_is_the_same() -> None:
    system = Turn("system", (Text("Be brief."),))
    first, second = (prompt(system, Turn("user", (Text(words),)), user=words) for words in ("a", "b"))
    assert (question(first), question(second)) == ("a", "b")
    assert surroundings(CIRCLE, first) == surroundings(CIRCLE, second)
    assert surroundings(CIRCLE, first) != surroundings(CIRCLE, prompt(Turn("user", (Text("a"),))))


def test_a_question_that_is_more_than_words_is_not_compared() -> None:
    assert question(prompt(Turn("user", (Text("a"), Media("image", url="http://x/y"))))) == ""
    assert question(prompt(Turn("user", (Text("a"),)), Turn("assistant", (Text("b"),)))) == ""
    assert question(prompt()) == ""
