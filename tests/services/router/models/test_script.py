"""Which rule of a script answers, and with what."""

import msgspec

from services.router.models.script import Rule, Script, Talk, When, deltas, find, read_talk


def body(*messages: tuple[str, object]) -> bytes:
    return msgspec.json.encode({"messages": [{"role": role, "content": content} for role, content in messages]})


def test_the_last_user_message_the_last_result_and_the_turn_are_read() -> None:
    talk = read_talk(
        body(("user", "old"), ("assistant", "x"), ("user", "weather?"), ("assistant", None), ("tool", "rain"))
    )
    assert talk == Talk("weather?", "rain", 1)


def test_text_parts_are_read_as_text() -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "x"}}]
    assert read_talk(body(("user", parts))) == Talk("look", "", 0)
    assert read_talk(b"{}") == Talk("", "", 0)


def test_the_first_rule_that_fits_answers() -> None:
    script = Script(
        [
            Rule(When(contains="WEATHER", turn=0), say="asking"),
            Rule(When(contains="weather", turn=1), say="told"),
            Rule(When(model="other"), say="other"),
            Rule(say="else"),
        ]
    )

    def said(talk: Talk, model: str = "m") -> object:
        rule = find(script, talk, model)
        return rule.say if rule else None

    assert said(Talk("The weather?", "", 0)) == "asking"
    assert said(Talk("The weather?", "", 1)) == "told"
    assert said(Talk("hello", "", 0), "other") == "other"
    assert said(Talk("hello", "", 0)) == "else"
    assert find(Script([Rule(When(turn=3))]), Talk("", "", 0), "m") is None


def test_a_text_is_streamed_word_by_word_and_a_list_as_it_is() -> None:
    talk = Talk("Ann", "42", 0)
    assert deltas(Rule(say="Hello {user}, it is {tool}."), talk) == ["Hello ", "Ann, ", "it ", "is ", "42."]
    assert deltas(Rule(say=["He", "llo"]), talk) == ["He", "llo"]
    assert deltas(Rule(), talk) == []
