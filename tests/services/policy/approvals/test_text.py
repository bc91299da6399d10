"""What people write and read about approvals is made harmless."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.contracts.errors import Code, Failure
from penstock.contracts.policy import ActionName, Entity, Question
from services.policy.approvals.shown import shown_facts, shown_input
from services.policy.approvals.text import plain, reason


def question(arguments: object, **facts: object) -> Question:
    context = msgspec.convert(facts, dict[str, str | int | float | bool | list[str]])
    return Question(
        ActionName("tool.call"),
        Entity("Tool", "pay"),
        "att_1",
        context,
        input=msgspec.Raw(msgspec.json.encode(arguments)),
    )


@given(st.text(max_size=400))
def test_text_is_on_one_line_and_shows_everything_that_it_holds(text: str) -> None:
    shown = plain(text, 100)
    assert len(shown) <= 100
    assert shown.isprintable() or all(c.isprintable() or c.isspace() for c in shown)
    assert "\n" not in shown and "\x1b" not in shown and "\u202e" not in shown


def test_colours_line_ends_and_turned_text_are_gone() -> None:
    assert plain("ok\x1b[31m\r\nAPPROVED by \u202eevil\u200b", 100) == "ok [31m APPROVED by evil"


def test_a_reason_that_is_too_long_is_refused_and_not_cut() -> None:
    with pytest.raises(Failure) as raised:
        reason("x" * 1001, 1000)
    assert (raised.value.code, raised.value.param) == (Code.INVALID, "reason")


def test_an_approver_reads_the_arguments_without_secrets() -> None:
    shown = shown_input(question({"amount": 5000, "api_key": "sk-1", "to": {"password": "x", "name": "ACME"}}))
    assert shown == '{"amount":5000,"api_key":"[hidden]","to":{"password":"[hidden]","name":"ACME"}}'


def test_an_approver_reads_no_personal_data() -> None:
    shown = shown_input(question({"to": "ann@example.com", "card": "4111 1111 1111 1111", "amount": 5}))
    assert shown == '{"to":"[EMAIL]","card":"[CARD]","amount":5}'
    assert shown_facts(question({}, hosts=["ann@example.com"])) == {"hosts": ["[EMAIL]"]}


def test_arguments_that_are_huge_deep_or_no_json_harm_nobody() -> None:
    assert len(shown_input(question({"text": "x" * 100_000}))) <= 2000
    deep: object = "end"
    for _ in range(50):
        deep = {"a": deep}
    assert "end" not in shown_input(question(deep))
    assert shown_input(Question(ActionName("a"), Entity("Tool", "t"), "att", input=msgspec.Raw(b"{"))) == ""


def test_facts_are_cut() -> None:
    shown = shown_facts(question({}, hosts=["h" * 500] * 40, writes=True))
    assert shown["writes"] is True
    hosts = shown["hosts"]
    assert isinstance(hosts, list) and len(hosts) == 16 and len(hosts[0]) == 200
    many = shown_facts(question({}, **{f"fact{n}": ["h" * 500] * 40 for n in range(32)}))
    assert len(str(many)) < 5000
