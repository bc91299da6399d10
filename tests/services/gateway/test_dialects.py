"""The protocols at the edge, without HTTP: which one a request speaks, what documents and streams look like."""

import itertools
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.contracts.errors import NO_DETAILS, Code, Failure, Upstream
from services.gateway.dialects import anthropic, gemini, openai
from services.gateway.dialects.by_path import ANTHROPIC, GEMINI, OPENAI, RESPONSES, dialect_of
from services.gateway.dialects.dialect import Dialect
from tests.services.gateway import samples

NAMED = {"anthropic-version": "2026-10-21"}
GOOGLE = {"x-goog-api-key": "k"}


@pytest.mark.parametrize(
    ("method", "path", "headers", "expected"),
    [
        ("POST", "/v1/chat/completions", {}, OPENAI),
        ("POST", "/v1/chat/completions", NAMED, OPENAI),
        ("POST", "/v1/embeddings", {}, OPENAI),
        ("GET", "/nowhere", GOOGLE, OPENAI),
        ("POST", "/v1/responses", {}, RESPONSES),
        ("GET", "/v1/responses/resp_1", {}, RESPONSES),
        ("POST", "/v1/messages", {}, ANTHROPIC),
        ("POST", "/v1/messages/count_tokens", {}, ANTHROPIC),
        ("POST", "/v1/messagesque", {}, OPENAI),
        ("GET", "/v1/models", {}, OPENAI),
        ("GET", "/v1/models", {"authorization": "Bearer k"}, OPENAI),
        ("GET", "/v1/models", NAMED, ANTHROPIC),
        ("GET", "/v1/models", {"x-api-key": "k"}, ANTHROPIC),
        ("GET", "/v1/models", GOOGLE, GEMINI),
        ("GET", "/v1/models/llama3:8b", {}, OPENAI),
        ("POST", "/v1/models/chat:generateContent", {}, GEMINI),
        ("POST", "/v1beta/models/chat:generateContent", {}, GEMINI),
        ("GET", "/v1beta", {}, GEMINI),
    ],
)
def test_the_path_says_which_protocol_it_is_and_headers_where_three_share_one(
    method: str, path: str, headers: dict[str, str], expected: Dialect
) -> None:
    assert dialect_of(method, path, headers, {}) is expected


@pytest.mark.parametrize("dialect", [OPENAI, RESPONSES, ANTHROPIC, GEMINI])
@pytest.mark.parametrize("code", list(Code))
def test_every_failure_has_a_status_and_a_document_in_every_protocol(dialect: Dialect, code: Code) -> None:
    failure = Failure(code, "because", param="tools", decision="dec_1", reasons=("one",), retry_after_s=1.5)
    document = json.loads(dialect.document(failure, "req_1"))
    assert 400 <= dialect.status(failure) <= 529
    assert document["error"]["message"] == "because"
    assert code.value in json.dumps(document).lower()
    assert "dec_1" in json.dumps(document)
    assert b"because" in dialect.form("req_1").failure(failure)


def test_openais_document() -> None:
    failure = Failure(Code.DENIED, "not yours", decision="dec_1", reasons=("because",), param="tool")
    assert json.loads(OPENAI.document(failure, "req_1")) == {
        "error": {
            "message": "not yours",
            "type": "permission_error",
            "code": "denied",
            "param": "tool",
            "decision": "dec_1",
            "reasons": ["because"],
        }
    }


def test_anthropics_document() -> None:
    failure = Failure(Code.BUDGET_EXHAUSTED, "spent", decision="dec_1")
    assert json.loads(ANTHROPIC.document(failure, "req_1")) == {
        "type": "error",
        "error": {
            "type": "billing_error",
            "message": "spent",
            "details": {"code": "budget_exhausted", "decision": "dec_1"},
        },
        "request_id": "req_1",
    }
    assert ANTHROPIC.headers("req_1") == {"request-id": "req_1"}


def test_a_refused_thread_says_so_in_the_word_that_clients_know() -> None:
    ours = Failure(Code.INVALID, "threads are not kept here", param="thread")
    theirs = Failure(Code.INVALID, "no such thread", param="thread", reasons=("thread_not_found",))
    told = [json.loads(ANTHROPIC.document(failure, "r"))["error"]["details"] for failure in (ours, theirs)]
    assert (told[0]["error_code"], told[0]["unsupported"]) == ("thread_unsupported_request", ["thread"])
    assert (told[1]["error_code"], "unsupported" in told[1]) == ("thread_not_found", False)


def test_geminis_document() -> None:
    failure = Failure(Code.RATE_LIMITED, "slowly", retry_after_s=1.5, param="contents")
    assert json.loads(GEMINI.document(failure, "req_1")) == {
        "error": {
            "code": 429,
            "message": "slowly",
            "status": "RESOURCE_EXHAUSTED",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "RATE_LIMITED",
                    "domain": "penstock",
                    "metadata": {"request": "req_1"},
                },
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "fieldViolations": [{"field": "contents", "description": "slowly"}],
                },
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s"},
            ],
        }
    }


def test_a_spent_budget_is_nothing_that_clients_wait_out() -> None:
    for dialect in (OPENAI, RESPONSES, ANTHROPIC, GEMINI):
        assert dialect.status(Failure(Code.BUDGET_EXHAUSTED)) == 402
        assert b"RESOURCE_EXHAUSTED" not in dialect.document(Failure(Code.BUDGET_EXHAUSTED), "r")


def test_a_method_is_what_comes_after_the_last_colon() -> None:
    assert gemini.model_and_method("chat:generateContent") == ("chat", "generateContent")
    assert gemini.model_and_method("models/org/llama:8b:countTokens") == ("org/llama:8b", "countTokens")


def test_a_template_stands_for_messages() -> None:
    assert openai.chat_head(b'{"model":"chat"}', templated=True) == ("chat", False)
    assert anthropic.message_head(b'{"model":"chat","stream":true}', templated=True) == ("chat", True)
    gemini.check_contents(b"{}", templated=True)


@given(st.lists(st.integers(0, 400), max_size=8))
def test_a_list_is_the_same_wherever_its_events_were_cut(cuts: list[int]) -> None:
    whole = b"".join(samples.GEMINI_FRAMES)
    places = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    form = GEMINI.list_form("req_1")
    written = b"".join(form.frame(whole[a:b]) for a, b in itertools.pairwise(places)) + form.end()
    assert [chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in json.loads(written)] == ["Hel", "lo!"]


def test_a_list_takes_every_line_ending_and_lines_that_are_no_data() -> None:
    form = GEMINI.list_form("req_1")
    written = form.frame(b': hello\r\ndata: {"a":\r\ndata:1}\r\n\r\nevent: x\n\n') + form.frame(b'data: {"b":2}')
    assert json.loads(written + form.end()) == [{"a": 1}, {"b": 2}]


@given(st.lists(st.integers(0, 1500), max_size=8))
def test_the_number_of_an_added_event_follows_wherever_the_stream_was_cut(cuts: list[int]) -> None:
    whole = b"".join(samples.RESPONSE_FRAMES)
    form = RESPONSES.form("req_1")
    places = sorted({min(cut, len(whole)) for cut in cuts} | {0, len(whole)})
    assert b"".join(form.frame(whole[a:b]) for a, b in itertools.pairwise(places)) == whole
    event = form.failure(Failure(Code.UPSTREAM, "it went away"))
    assert json.loads(event.partition(b"data: ")[2])["sequence_number"] == 9


VIOLATION = {"@type": gemini.DETAIL + "BadRequest", "fieldViolations": [{"field": "contents", "description": "empty"}]}


def refused_by(protocol: str, code: str = "", details: object = None) -> Failure:
    raw = msgspec.Raw(msgspec.json.encode(details)) if details is not None else NO_DETAILS
    return Failure(Code.INVALID, "no", param="tools", upstream=Upstream(protocol, "its_type", code, raw))


def error(dialect: Dialect, failure: Failure) -> dict[str, object]:
    found: dict[str, object] = json.loads(dialect.document(failure, "req_1"))["error"]
    return found


def test_what_a_provider_said_stands_where_its_own_clients_look_for_it() -> None:
    of_openai = error(OPENAI, refused_by("openai.responses", "content_filter", {"filtered": True}))
    assert (of_openai["code"], of_openai["innererror"], "upstream" in of_openai) == (
        "content_filter",
        {"filtered": True},
        False,
    )
    of_anthropic = error(ANTHROPIC, refused_by("anthropic.messages", "", {"error_code": "x", "code": "theirs"}))
    assert of_anthropic["details"] == {"error_code": "x", "code": "invalid", "param": "tools"}
    of_gemini = error(GEMINI, refused_by("gemini.generate", "", [VIOLATION]))
    assert of_gemini["details"] == [
        {
            "@type": gemini.DETAIL + "ErrorInfo",
            "reason": "INVALID",
            "domain": "penstock",
            "metadata": {"request": "req_1"},
        },
        VIOLATION,
    ]


def test_what_a_provider_of_another_protocol_said_stands_beside() -> None:
    failure = refused_by("anthropic.messages", "", {"error_code": "x"})
    told = {"protocol": "anthropic.messages", "type": "its_type", "details": {"error_code": "x"}}
    for dialect in (OPENAI, RESPONSES):
        body = error(dialect, failure)
        assert (body["code"], body["upstream"]) == ("invalid", told)
    details = error(GEMINI, failure)["details"]
    assert isinstance(details, list)
    assert details[0]["metadata"] == {
        "request": "req_1",
        "upstream_protocol": "anthropic.messages",
        "upstream_type": "its_type",
        "upstream_details": '{"error_code":"x"}',
    }
    foreign = error(ANTHROPIC, refused_by("openai.chat", "content_filter"))
    assert foreign["details"] == {
        "code": "invalid",
        "param": "tools",
        "upstream": {"protocol": "openai.chat", "type": "its_type", "code": "content_filter"},
    }
