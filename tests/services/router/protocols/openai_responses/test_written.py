"""What is written for callers: read by OpenAI's own SDK, and event by event."""

import httpx2
import msgspec
import pytest
from openai import OpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from penstock.contracts.llm import ANTHROPIC_MESSAGES, Usage
from services.router.protocols.answer import Answer, Begun, Choice, Ended, Finish, Finished, Grown, Opened, Piece
from services.router.protocols.fold import unfold
from services.router.protocols.loss import Losses
from services.router.protocols.openai_responses import PROTOCOL
from services.router.protocols.openai_responses.body import read_body
from services.router.protocols.openai_responses.writer import ResponsesWriter
from services.router.protocols.part import Opaque, Refusal, Text, Thinking, ToolCall
from services.router.protocols.protocol import Shape
from tests.services.router.protocols.openai_responses.wire import CODEX, Json, encoded

ECHO = read_body(encoded(CODEX | {"metadata": {"a": "b"}, "instructions": "Be brief."})).echo
SHAPE = Shape("claude", "resp_made", 1_700_000_000, echo=ECHO)
USAGE = Usage(uncached=40, cache_read=60, cache_write=5, output=30, reasoning=20)
ANSWER = Answer(
    (
        Choice(
            (
                Thinking("Hm.", "signed"),
                Text("It is "),
                Text("dry."),
                ToolCall("call_1", "exec_command", '{"cmd":"ls"}'),
                ToolCall("call_2", "multi_agent_v1__spawn", ""),
                ToolCall("call_3", "apply_patch", "*** Begin", custom=True),
            ),
            Finish.TOOLS,
        ),
    ),
    "msg_of_another",
    "claude-5",
    USAGE,
)
events_of = TypeAdapter[ResponseStreamEvent](ResponseStreamEvent)


def whole(answer: Answer, shape: Shape = SHAPE) -> Json:
    return msgspec.json.decode(PROTOCOL.write_answer(answer, shape, Losses()), type=dict[str, object])


def stream(answer: Answer, shape: Shape = SHAPE) -> bytes:
    writer = ResponsesWriter(shape, Losses())
    return b"".join([writer.write(piece) for piece in unfold(answer)]) + writer.end()


def events(raw: bytes) -> list[Json]:
    lines = [line for line in raw.split(b"\n") if line.startswith(b"data: ")]
    return [msgspec.json.decode(line[6:], type=dict[str, object]) for line in lines]


def said(finish: Finish, *parts: Text | Refusal) -> Answer:
    return Answer((Choice(parts or (Text("x"),), finish),), "resp_1", "m")


def client(body: bytes, kind: str) -> OpenAI:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=body, headers={"content-type": kind})

    transport = httpx2.Client(transport=httpx2.MockTransport(answer))
    return OpenAI(api_key="none", base_url="http://edge/v1", http_client=transport)


def test_the_sdk_reads_a_whole_answer() -> None:
    body = PROTOCOL.write_answer(ANSWER, SHAPE, Losses())
    with client(body, "application/json") as openai:
        found = openai.responses.create(model="m", input="Hi")
    assert (found.id, found.model, found.status) == ("resp_made", "claude", "completed")
    assert found.output_text == "It is dry."
    assert [item.type for item in found.output] == [
        "reasoning",
        "message",
        "function_call",
        "function_call",
        "custom_tool_call",
    ]
    assert found.usage is not None
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.total_tokens) == (105, 30, 135)
    assert found.usage.input_tokens_details.cached_tokens == 60
    assert found.usage.output_tokens_details.reasoning_tokens == 20
    assert (found.instructions, found.metadata) == ("Be brief.", {"a": "b"})


def test_the_sdk_validates_a_whole_answer_and_every_event() -> None:
    Response.model_validate(whole(ANSWER, Shape("m", "resp_1", 1)))
    found = events(stream(ANSWER, Shape("m", "resp_1", 1)))
    for event in found:
        events_of.validate_python(event)
    assert [event["sequence_number"] for event in found] == list(range(len(found)))


def test_the_sdk_gathers_a_stream_into_the_same_response() -> None:
    with client(stream(ANSWER), "text/event-stream") as openai, openai.responses.stream(model="m", input="Hi") as made:
        kinds = [event.type for event in made]
        final = made.get_final_response()
    expected = Response.model_validate(whole(ANSWER))
    assert [item.type for item in final.output] == [item.type for item in expected.output]
    assert (final.id, final.usage) == (expected.id, expected.usage)
    assert final.output_text == "It is dry."
    assert (kinds[0], kinds[1], kinds[-1]) == ("response.created", "response.in_progress", "response.completed")


def test_a_stream_ends_with_the_response_that_would_have_come_whole() -> None:
    *_, last = events(stream(ANSWER))
    assert last["type"] == "response.completed"
    assert last["response"] == whole(ANSWER)
    assert b"[DONE]" not in stream(ANSWER)


def test_ids_in_a_stream_are_those_of_the_final_response() -> None:
    found = events(stream(ANSWER))
    final = found[-1]["response"]
    assert isinstance(final, dict)
    assert [item["id"] for item in final["output"]] == [
        "rs_ps_made_0",
        "msg_made_1",
        "fc_made_2",
        "fc_made_3",
        "ctc_made_4",
    ]
    for event in found:
        if "response" in event:
            assert isinstance(event["response"], dict)
            assert event["response"]["id"] == final["id"]
        if "item" in event:
            assert isinstance(event["item"], dict) and isinstance(event["output_index"], int)
            assert event["item"]["id"] == final["output"][event["output_index"]]["id"]
        if "item_id" in event:
            assert isinstance(event["output_index"], int)
            assert event["item_id"] == final["output"][event["output_index"]]["id"]


def test_the_events_of_a_stream_come_in_openais_order() -> None:
    kinds = [str(event["type"]).removeprefix("response.") for event in events(stream(ANSWER))]
    assert kinds == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
        "completed",
    ]


def test_a_call_gets_the_group_of_its_tool_back() -> None:
    found = whole(ANSWER)["output"]
    assert isinstance(found, list)
    assert found[3] == {
        "id": "fc_made_3",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_2",
        "name": "spawn",
        "namespace": "multi_agent_v1",
        "arguments": "{}",
    }
    assert "namespace" not in found[2]


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        (Finish.STOP, "completed", None),
        (Finish.STOP_SEQUENCE, "completed", None),
        (Finish.PAUSED, "completed", None),
        (Finish.LENGTH, "incomplete", "max_output_tokens"),
        (Finish.CONTEXT, "incomplete", "max_output_tokens"),
        (Finish.FILTERED, "incomplete", "content_filter"),
        (Finish.REFUSED, "incomplete", "content_filter"),
    ],
)
def test_why_it_ended_is_told_by_the_status(finish: Finish, status: str, reason: str | None) -> None:
    found = whole(said(finish))
    details = None if reason is None else {"reason": reason}
    assert (found["status"], found["incomplete_details"]) == (status, details)
    output = found["output"]
    assert isinstance(output, list) and output[0]["status"] == status
    last = events(stream(said(finish)))[-1]
    assert (last["type"], last["response"]) == (f"response.{status}", found)


def test_a_refusal_in_words_is_a_completed_answer() -> None:
    found = whole(said(Finish.REFUSED, Refusal("No.")))
    assert (found["status"], found["incomplete_details"]) == ("completed", None)


def test_an_id_of_the_protocol_is_kept_and_another_is_not() -> None:
    assert whole(said(Finish.STOP))["id"] == "resp_1"
    assert whole(ANSWER)["id"] == "resp_made"


def test_calls_that_grow_side_by_side_are_items_of_their_own() -> None:
    writer = ResponsesWriter(SHAPE, Losses())
    pieces: list[Piece] = [
        Opened("", "m"),
        Begun(Text(""), 0),
        Grown(0, text="A"),
        Begun(ToolCall("c1", "exec_command"), 1),
        Begun(ToolCall("c2", "exec_command"), 2),
        Grown(2, arguments="{}"),
        Grown(1, arguments='{"a":1}'),
        Grown(0, text="B"),
        Ended(0),
        Begun(Text("C"), 3),
        Ended(3),
        Ended(2),
        Ended(1),
        Finished(Finish.TOOLS),
    ]
    raw = b"".join([writer.write(piece) for piece in pieces]) + writer.end()
    assert PROTOCOL.read_answer(writer.response)[0].choices[0].parts == (
        Text("AB"),
        ToolCall("c1", "exec_command", '{"a":1}'),
        ToolCall("c2", "exec_command", "{}"),
        Text("C"),
    )
    for event in events(raw):
        if event["type"] == "response.output_item.done":
            assert isinstance(event["item"], dict) and event["item"]["id"]


def test_what_an_answer_cannot_carry_is_said() -> None:
    alien = Opaque(ANTHROPIC_MESSAGES, "server_tool_use", msgspec.Raw(b"{}"))
    answer = Answer((Choice((Text("a"), alien, Text("b")), Finish.PAUSED), Choice((Text("c"),))), "resp_1", "m")
    losses, streamed = Losses(), Losses()
    PROTOCOL.write_answer(answer, SHAPE, losses)
    writer = PROTOCOL.writer(SHAPE, streamed)
    for piece in unfold(answer):
        writer.write(piece)
    writer.end()
    expected = [("output", True), ("output.1", False), ("status", False)]
    for found in (losses, streamed):
        assert sorted((loss.field, loss.grave) for loss in found.all) == expected


def test_a_stream_that_nobody_opened_still_ends() -> None:
    writer = ResponsesWriter(SHAPE, Losses())
    (last,) = events(writer.end())
    assert (last["type"], last["sequence_number"]) == ("response.completed", 0)
