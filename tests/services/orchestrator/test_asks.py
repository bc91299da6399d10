"""What a job asks for, and which jobs are refused before anything is done."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.contracts.errors import Code, Failure
from penstock.contracts.jobs import Budget, Job
from services.orchestrator import asks


def job(kind: str, input: str, **fields: object) -> Job:
    return msgspec.convert({"kind": kind, "input": msgspec.Raw(input.encode()), **fields}, Job)


def refusal(one: Job, kind: str = "") -> Failure:
    with pytest.raises(Failure) as refused:
        asks.check(one, kind or one.kind)
    assert refused.value.code is Code.INVALID
    return refused.value


def test_a_text_is_one_message_of_the_user() -> None:
    assert asks.conversation(job("chat", '"hello"')).messages == [msgspec.Raw(b'{"role":"user","content":"hello"}')]


def test_a_chat_may_carry_any_field_of_a_chat_request_but_not_who_answers() -> None:
    found = asks.conversation(
        job("chat", '{"messages":[{"role":"user","content":"x"}],"temperature":0.5,"stream":false,"model":"y"}')
    )
    assert found.options == {"temperature": msgspec.Raw(b"0.5")}


@pytest.mark.parametrize(
    ("kind", "input", "param"),
    [
        ("chat", "7", "input"),
        ("chat", '""', "input"),
        ("chat", "{}", "input.messages"),
        ("chat", '{"messages":[]}', "input.messages"),
        ("chat", '{"messages":["x"]}', "input.messages"),
        ("chat", '{"messages":[{"content":"x"}]}', "input.messages"),
        ("retrieve", '{"limit":3}', "input"),
        ("retrieve", '{"query":"x","limt":3}', "input"),
        ("retrieve", '{"query":"x","limit":0}', "input.limit"),
        ("retrieve", '" "', "input.query"),
        ("ingest", '{"source":"x"}', "input"),
        ("ingest", '{"source":"","text":"x"}', "input.source"),
        ("agent", '"x"', "agent"),
        ("tool", "{}", "tool"),
    ],
)
def test_an_input_that_does_not_fit_its_kind_is_refused_with_the_field_at_fault(
    kind: str, input: str, param: str
) -> None:
    assert refusal(job(kind, input)).param == param


@pytest.mark.parametrize(
    "input",
    [b'"\xff"', b'{"messages":' + b"[" * 2000 + b"]" * 2000 + b"}", b'{"messages":[{"role":"\xff"}]}'],
)
def test_an_input_that_is_no_text_or_too_deep_is_refused(input: bytes) -> None:
    assert refusal(Job("chat", msgspec.Raw(input))).code is Code.INVALID


def test_a_tools_arguments_must_be_an_object() -> None:
    assert refusal(job("tool", "[1]", tool="t")).param == "input"
    assert asks.tool_arguments(job("tool", '{"a":1}', tool="t")) == msgspec.Raw(b'{"a":1}')


def test_an_agents_input_has_messages_and_nothing_else() -> None:
    text = '{"messages":[{"role":"user","content":"x"}],"temperature":0.5}'
    assert "temperature" in refusal(job("agent", text, agent="a")).detail


def test_a_job_on_the_subject_of_another_kind_is_refused() -> None:
    assert refusal(job("chat", '"x"'), "agent").param == "kind"


@pytest.mark.parametrize(
    ("field", "value", "param"),
    [
        ("id", "a.b", "id"),
        ("id", "x" * 65, "id"),
        ("session", "a b", "session"),
        ("collection", "*", "collection"),
        ("model", "m" * 129, "model"),
        ("idempotency_key", "k" * 513, "idempotency_key"),
        ("deadline_s", -1.0, "deadline_s"),
        ("deadline_s", 1e9, "deadline_s"),
        ("labels", {str(i): "" for i in range(17)}, "labels"),
        ("labels", {"a": "x" * 257}, "labels"),
        ("budget", Budget(usd=-0.01), "budget.usd"),
        ("budget", Budget(tokens=-1), "budget.tokens"),
    ],
)
def test_a_field_out_of_bounds_is_refused(field: str, value: object, param: str) -> None:
    assert refusal(job("chat", '"x"', **{field: value})).param == param


def test_a_good_job_of_each_kind_passes() -> None:
    for good in (
        job("chat", '"hi"', labels={"team": "a"}, budget={"usd": 0.5}),
        job("agent", '{"messages":[{"role":"user","content":"x"}]}', agent="a"),
        job("tool", "{}", tool="t"),
        job("retrieve", '{"query":"x","limit":100}'),
        job("ingest", '{"source":"a.md","text":"# x","title":"X"}'),
    ):
        asks.check(good, good.kind)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["chat", "agent", "tool", "retrieve", "ingest"]), json_values)
def test_any_input_is_either_taken_or_refused_as_invalid(kind: str, value: object) -> None:
    one = job(kind, msgspec.json.encode(value).decode(), agent="a", tool="t")
    try:
        asks.check(one, kind)
    except Failure as refused:
        assert refused.code is Code.INVALID
