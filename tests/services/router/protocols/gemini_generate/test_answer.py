"""Whole answers of Gemini, both ways."""

import json

import msgspec
import pytest
from hypothesis import given

from penstock.contracts.llm import Usage
from services.router.fault import Fault, FaultKind
from services.router.protocols.answer import Answer, Choice, Finish
from services.router.protocols.gemini_generate import PROTOCOL
from services.router.protocols.loss import Losses
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall
from services.router.protocols.protocol import Protocol, Shape
from tests.services.router.protocols.gemini_generate.unhurried import unhurried
from tests.services.router.protocols.neutral import answers


def body(**candidate: object) -> bytes:
    return json.dumps({"candidates": [{"finishReason": "STOP", **candidate}], "responseId": "r1"}).encode()


def parts(*held: object, reason: str = "STOP") -> bytes:
    return body(content={"role": "model", "parts": list(held)}, finishReason=reason)


def read(raw: bytes) -> Choice:
    return PROTOCOL.read_answer(raw)[0].choices[0]


def plain(answer: Answer) -> Answer:
    """Gemini cannot tell what was written to a cache: it is part of the prompt."""
    usage = answer.usage or Usage()
    return msgspec.structs.replace(
        answer, usage=Usage(usage.uncached + usage.cache_write, usage.cache_read, 0, usage.output, usage.reasoning)
    )


def test_gemini_is_a_protocol() -> None:
    protocol: Protocol = PROTOCOL
    assert protocol.name == "gemini.generate"


@unhurried
@given(answers(thinking=True, choices_max=3).map(plain))
def test_an_answer_that_is_written_and_read_is_the_same(answer: Answer) -> None:
    losses = Losses()
    written = PROTOCOL.write_answer(answer, Shape(answer.model, "x", 0), losses)
    assert PROTOCOL.read_answer(written)[0] == answer
    assert losses.all == ()


def test_an_answer_as_gemini_gives_it_is_read() -> None:
    raw = b"""{"candidates": [{"content": {"parts": [
        {"text": "Let me see.", "thought": true},
        {"text": "Looking it up."},
        {"functionCall": {"name": "weather", "args": {"city": "Paris", "days": 1.50}}, "thoughtSignature": "c2ln"},
        {"functionCall": {"id": "own", "name": "time"}}], "role": "model"},
        "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 20,
            "thoughtsTokenCount": 30, "toolUsePromptTokenCount": 5, "totalTokenCount": 155},
        "modelVersion": "gemini-3-pro", "responseId": "abc"}"""
    answer, told = PROTOCOL.read_answer(raw)
    thinking, words, weather, time = answer.choices[0].parts
    assert thinking == Thinking("Let me see.")
    assert words == Text("Looking it up.")
    assert isinstance(weather, ToolCall)
    assert (weather.name, weather.arguments, weather.signature) == (
        "weather",
        '{"city": "Paris", "days": 1.50}',
        "c2ln",
    )
    assert time == ToolCall("own", "time", "{}")
    assert answer.choices[0].finish is Finish.TOOLS
    assert answer.usage == Usage(45, 60, 0, 50, 30)
    assert (answer.id, answer.model) == ("abc", "gemini-3-pro")
    assert (told.finish, told.artefacts, told.usage) == ("STOP", ["c2ln"], Usage(45, 60, 0, 50, 30))


def test_snake_case_is_read_as_well() -> None:
    raw = b"""{"candidates": [{"content": {"parts": [{"function_call": {"name": "f", "args": {"a_b": 1}},
        "thought_signature": "s"}]}, "finish_reason": "STOP"}], "response_id": "r", "model_version": "m",
        "usage_metadata": {"prompt_token_count": "7", "candidates_token_count": 2}}"""
    answer, _ = PROTOCOL.read_answer(raw)
    (call,) = answer.choices[0].parts
    assert isinstance(call, ToolCall)
    assert (call.arguments, call.signature, answer.usage) == ('{"a_b": 1}', "s", Usage(7, 0, 0, 2))


def test_calls_without_ids_get_ids_that_are_unique_and_stable() -> None:
    raw = parts({"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}})
    ids = [part.id for part in read(raw).parts if isinstance(part, ToolCall)]
    again = [part.id for part in read(raw).parts if isinstance(part, ToolCall)]
    other = [part.id for part in read(raw.replace(b'"r1"', b'"r2"')).parts if isinstance(part, ToolCall)]
    assert len(set(ids)) == 3
    assert ids == again
    assert not set(ids) & set(other)
    assert all(len(id) <= 40 and id.replace("_", "").isalnum() for id in ids)


def test_ids_that_an_answer_gives_twice_are_told_apart() -> None:
    raw = parts({"functionCall": {"id": "a", "name": "f"}}, {"functionCall": {"id": "a", "name": "f"}})
    first, second = read(raw).parts
    assert isinstance(first, ToolCall)
    assert isinstance(second, ToolCall)
    assert first.id == "a" != second.id


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", Finish.STOP),
        ("MAX_TOKENS", Finish.LENGTH),
        ("SAFETY", Finish.FILTERED),
        ("RECITATION", Finish.FILTERED),
        ("PROHIBITED_CONTENT", Finish.FILTERED),
        ("BLOCKLIST", Finish.FILTERED),
        ("SPII", Finish.FILTERED),
        ("LANGUAGE", Finish.FILTERED),
        ("A_REASON_OF_NEXT_YEAR", Finish.FILTERED),
    ],
)
def test_reasons_to_stop_are_told(reason: str, finish: Finish) -> None:
    assert read(parts({"text": "x"}, reason=reason)).finish is finish


@pytest.mark.parametrize("reason", ["STOP", "MAX_TOKENS", "OTHER"])
def test_a_call_in_the_answer_means_tools_whatever_the_reason(reason: str) -> None:
    assert read(parts({"functionCall": {"name": "f"}}, reason=reason)).finish is Finish.TOOLS


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "MALFORMED_RESPONSE"])
def test_a_model_that_failed_to_write_a_call_is_a_fault(reason: str) -> None:
    with pytest.raises(Fault, match=reason) as caught:
        read(body(finishReason=reason))
    assert caught.value.kind is FaultKind.TRANSIENT


def test_a_blocked_prompt_is_a_filtered_answer() -> None:
    answer, told = PROTOCOL.read_answer(b'{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {}}')
    assert answer.choices == (Choice((), Finish.FILTERED),)
    assert told.finish == "SAFETY"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}, FaultKind.RATE),
        ({"message": "slow down", "status": "RESOURCE_EXHAUSTED"}, FaultKind.RATE),
        ({"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}, FaultKind.TRANSIENT),
        ({"code": 404, "message": "no such model", "status": "NOT_FOUND"}, FaultKind.MISSING),
        ({"code": 403, "message": "no", "status": "PERMISSION_DENIED"}, FaultKind.KEY),
        (
            {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT"},
            FaultKind.KEY,
        ),
        (
            {
                "code": 400,
                "message": "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
                "status": "INVALID_ARGUMENT",
            },
            FaultKind.CONTEXT,
        ),
        ({"code": 400, "message": "Invalid value at 'contents'", "status": "INVALID_ARGUMENT"}, FaultKind.CALLER),
    ],
)
@pytest.mark.parametrize("listed", [False, True])
def test_an_error_in_place_of_an_answer_is_told_by_its_kind(
    error: dict[str, object], kind: FaultKind, listed: bool
) -> None:
    raw = {"error": error}
    with pytest.raises(Fault) as caught:
        PROTOCOL.read_told(json.dumps([raw] if listed else raw).encode())
    assert caught.value.kind is kind


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>",
        b"[]",
        b"null",
        b"{}",
        b'{"candidates": 1}',
        b'{"candidates": [1]}',
        b'{"candidates": [{"index": -1}]}',
        b'{"candidates": [{"index": 100000}]}',
        b'{"candidates": [{"content": {"parts": [{"text": 1}]}}]}',
        b'{"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": [1]}}]}}]}',
        b'{"candidates": [{"content": {"parts": [{"functionCall": {}}]}}]}',
        b'{"candidates": [{"content": {"parts": [{"text": "\xff"}]}}]}',
        b'{"candidates": [{"content": {"parts": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_answer_is_garbage(raw: bytes) -> None:
    with pytest.raises(Fault) as caught:
        PROTOCOL.read_answer(raw)
    assert caught.value.kind is FaultKind.GARBAGE


def test_a_signature_on_words_stands_behind_them_and_is_written_back_onto_them() -> None:
    raw = parts({"text": "Hello", "thoughtSignature": "AbC+/="})
    answer, _ = PROTOCOL.read_answer(raw)
    assert answer.choices[0].parts == (Text("Hello"), Thinking(signature="AbC+/="))
    written = json.loads(PROTOCOL.write_answer(answer, Shape("m", "i", 0), Losses()))
    assert written["candidates"][0]["content"]["parts"] == [{"text": "Hello", "thoughtSignature": "AbC+/="}]


def test_a_part_that_is_only_a_signature_survives() -> None:
    raw = parts({"thoughtSignature": "c2ln", "text": ""})
    answer, _ = PROTOCOL.read_answer(raw)
    assert answer.choices[0].parts == (Thinking(signature="c2ln"),)
    assert b'{"text":"","thoughtSignature":"c2ln"}' in PROTOCOL.write_answer(answer, Shape("m", "i", 0), Losses())


def test_what_only_gemini_knows_goes_through_whole() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "print(1)"}, "thoughtSignature": "s"}
    image = {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}
    raw = body(
        content={"role": "model", "parts": [code, image, {"text": "done"}]},
        groundingMetadata={"webSearchQueries": ["x"]},
    )
    answer, _ = PROTOCOL.read_answer(raw)
    kinds = [part.type for part in answer.choices[0].parts if isinstance(part, Opaque)]
    assert kinds == ["executableCode", "inlineData", "groundingMetadata"]
    losses = Losses()
    candidate = json.loads(PROTOCOL.write_answer(answer, Shape("m", "i", 0), losses))["candidates"][0]
    assert candidate["content"]["parts"] == [code, image, {"text": "done"}]
    assert candidate["groundingMetadata"] == {"webSearchQueries": ["x"]}
    assert losses.all == ()


def test_what_gemini_cannot_say_is_noted() -> None:
    answer = Answer(
        (
            Choice((Refusal("No."), Thinking(sealed="xyz"), ToolCall("c", "f", "not json", custom=True)), Finish.TOOLS),
            Choice((Opaque("anthropic.messages", "server_tool_use", msgspec.Raw(b"{}")),), Finish.PAUSED),
            Choice((Text("x"),), Finish.STOP_SEQUENCE, "END"),
        )
    )
    losses = Losses()
    written = json.loads(PROTOCOL.write_answer(answer, Shape("m", "i", 0), losses))
    call = {"id": "c", "name": "f", "args": {"input": "not json"}}
    assert written["candidates"][0]["content"]["parts"] == [{"text": "No."}, {"functionCall": call}]
    assert [(loss.field, loss.grave) for loss in losses.all] == [
        ("choices.0.message.content.2", True),
        ("choices.1.message.content.0", True),
        ("choices.1.finish_reason", True),
        ("choices.0.message.content.0", False),
        ("choices.0.message.content.1", False),
        ("choices.2.finish_reason", False),
    ]


@pytest.mark.parametrize("arguments", ["[1,2]", "3", '"x"', "null", "{", "{'a': 1}"])
def test_arguments_that_are_no_object_are_put_into_one_and_it_is_said(arguments: str) -> None:
    answer = Answer((Choice((ToolCall("c", "f", arguments),), Finish.TOOLS),))
    losses = Losses()
    written = PROTOCOL.write_answer(answer, Shape("m", "i", 0), losses)
    assert list(json.loads(written)["candidates"][0]["content"]["parts"][0]["functionCall"]["args"]) == ["input"]
    assert losses.gravest is not None


def test_hidden_output_that_only_the_total_counts_is_output() -> None:
    raw = b'{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":10,"totalTokenCount":25}}'
    assert PROTOCOL.read_told(raw).usage == Usage(10, 0, 0, 15, 15)


def test_counts_that_contradict_one_another_are_bounded() -> None:
    raw = (
        b'{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":10,'
        b'"cachedContentTokenCount":99,"candidatesTokenCount":-5,"totalTokenCount":3}}'
    )
    assert PROTOCOL.read_told(raw).usage == Usage(0, 10, 0, 0, 0)
