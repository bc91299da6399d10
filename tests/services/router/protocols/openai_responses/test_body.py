"""Requests that pass as they are: what is read of them, and the little that is changed."""

import msgspec
import pytest

from penstock.contracts.errors import Failure
from services.router.protocols.openai_responses import PROTOCOL
from services.router.protocols.openai_responses.body import ResponsesBody, read_body
from services.router.protocols.openai_responses.history import Segment
from services.router.protocols.openai_responses.seal import seal, seal_of_call
from services.router.protocols.part import Text, Thinking, ToolCall
from services.router.protocols.protocol import Needs, Target
from tests.services.router.protocols.openai_responses.wire import CODEX, LLAMA_INDEX, Json, encoded

TARGET = Target("gpt", "openai", streamed=False)
STREAMED = Target("gpt", "openai", streamed=True)


def body(**fields: object) -> ResponsesBody:
    return read_body(encoded({"model": "alias", "input": "Hi"} | fields))


def sent(found: ResponsesBody, target: Target = TARGET) -> Json:
    return msgspec.json.decode(found.for_upstream(target), type=dict[str, object])


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(encoded(value))


def test_only_the_model_is_changed_where_nothing_else_must_be() -> None:
    assert sent(read_body(encoded(CODEX)), STREAMED) == CODEX | {"model": "gpt"}


def test_nulls_stay_nulls_and_what_is_absent_stays_absent() -> None:
    expected = LLAMA_INDEX | {"model": "gpt"}
    del expected["stream"]
    assert sent(read_body(encoded(LLAMA_INDEX))) == expected


def test_unknown_fields_survive_byte_for_byte() -> None:
    odd = b'{"input" : "Hi",  "odd": {"a" :1.0e3,"b":"\\u00e9"} }'
    assert b'"odd":{"a" :1.0e3,"b":"\\u00e9"}' in read_body(odd).for_upstream(TARGET)


def test_the_stream_and_its_options_are_asked_for_only_where_it_streams() -> None:
    found = body(stream=True, stream_options={"include_obfuscation": False})
    assert sent(found, STREAMED)["stream_options"] == {"include_obfuscation": False}
    assert "stream" not in sent(found) and "stream_options" not in sent(found)
    assert sent(body(), STREAMED)["stream"] is True


def test_the_cap_is_put_in_only_where_it_binds() -> None:
    capped = Target("gpt", "openai", streamed=False, output_tokens_max=100)
    assert sent(body(max_output_tokens=50), capped)["max_output_tokens"] == 50
    assert sent(body(max_output_tokens=500), capped)["max_output_tokens"] == 100
    assert sent(body(max_output_tokens=None), capped)["max_output_tokens"] == 100
    assert sent(body(max_output_tokens=None))["max_output_tokens"] is None


def test_what_a_decision_needs_is_read() -> None:
    found = read_body(encoded(CODEX))
    assert (found.model, found.streamed, found.choices, found.output_tokens) == ("gpt-5.3-codex", True, 1, 0)
    assert found.needs == Needs(tools=True, images=True, reasoning=True)
    assert found.wants_usage
    found = body(
        text={"format": {"type": "json_schema", "name": "a", "schema": {}}},
        input=[{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}],
        reasoning={"effort": "none"},
        max_output_tokens=7,
    )
    assert found.needs == Needs(schema=True, documents=True)
    assert found.output_tokens == 7


def test_a_text_that_speaks_of_images_is_none() -> None:
    assert body(input='Write {"type": "input_image"}').needs == Needs()


def test_images_in_line_are_no_text() -> None:
    part = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 3_000_000}
    found = body(input=[{"role": "user", "content": [part]}])
    assert found.size.images == 1
    assert found.size.text < 200


def test_what_an_answer_repeats_is_kept_without_nulls() -> None:
    found = body(instructions="Be brief.", temperature=None, tools=[], metadata={"a": "b"}, client_metadata={})
    assert {name: bytes(value) for name, value in found.echo.items()} == {
        "instructions": b'"Be brief."',
        "tools": b"[]",
        "metadata": b'{"a":"b"}',
    }


def test_background_is_refused_clearly() -> None:
    with pytest.raises(Failure) as caught:
        body(background=True)
    assert (caught.value.param, caught.value.detail) == ("background", "background responses are not made here")
    assert body(background=False).previous == ""


def test_whether_an_answer_may_be_kept_is_read() -> None:
    assert body().stores and body(store=None).stores and body(store=True).stores
    assert not body(store=False).stores


USER: Json = {"type": "message", "role": "user", "content": "Hi"}
SAID: Json = {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "A"}]}
SEALED: Json = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA"}
BARE: Json = {"type": "reasoning", "id": "rs_2", "summary": []}
CALL: Json = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": "{}"}
BEFORE = Segment("resp_1", "openai", (raw(USER),), (raw(SEALED), raw(BARE), raw(SAID), raw(CALL)))


def continued(**fields: object) -> ResponsesBody:
    return body(previous_response_id="resp_1", **fields).continued([BEFORE], {})


def without_id(item: Json) -> Json:
    return {name: value for name, value in item.items() if name != "id"}


def test_a_continued_request_holds_all_that_went_before() -> None:
    found = sent(continued(input="And?"))
    assert "previous_response_id" not in found
    assert found["input"] == [
        USER,
        SEALED,
        without_id(SAID),
        without_id(CALL),
        {"type": "message", "role": "user", "content": "And?"},
    ]


def test_items_that_were_referred_to_once_are_known_at_no_provider_either() -> None:
    earlier = Segment("resp_1", "openai", (raw(SAID), raw(BARE), raw(USER)), ())
    found = body(previous_response_id="resp_1", input=[SAID]).continued([earlier], {})
    assert sent(found)["input"] == [without_id(SAID), USER, SAID]


def test_what_was_sealed_elsewhere_is_not_shown_to_another_endpoint() -> None:
    elsewhere = Target("gpt", "azure", streamed=False)
    items = sent(continued(), elsewhere)["input"]
    assert isinstance(items, list)
    assert [item["type"] for item in items] == ["message", "message", "function_call", "message"]
    thoughts = [
        part
        for turn in continued().honoured_at("azure").prompt().turns
        for part in turn.parts
        if isinstance(part, Thinking)
    ]
    assert thoughts == []


def test_a_continued_request_is_a_prompt_of_all_turns() -> None:
    given = [{"type": "function_call_output", "call_id": "c1", "output": "x"}]
    turns = continued(input=given).prompt().turns
    assert [turn.role for turn in turns] == ["user", "assistant", "tool"]
    assert turns[1].parts[-2:] == (Text("A"), ToolCall("c1", "look", "{}"))


def test_a_continued_request_is_as_large_as_all_of_it() -> None:
    assert continued().size.text > body().size.text + 200
    image = raw({"role": "user", "content": [{"type": "input_image", "image_url": "https://x/a.png"}]})
    found = body(previous_response_id="resp_1").continued([Segment("resp_1", "openai", (image,), ())], {})
    assert found.needs.images


def test_a_reference_stands_for_the_item_that_was_stored() -> None:
    given = [{"type": "item_reference", "id": "msg_1"}, {"id": "rs_1"}, USER]
    found = body(input=given)
    assert found.references == ("msg_1", "rs_1")
    stored = {"msg_1": Segment("resp_1", "openai", (), (raw(SAID),))}
    stored["rs_1"] = Segment("resp_1", "openai", (), (raw(SEALED),))
    assert sent(found.continued([], stored))["input"] == [without_id(SAID), SEALED, USER]
    assert [turn.role for turn in found.continued([], stored).prompt().turns] == ["assistant", "user"]
    assert sent(found)["input"] == given


def test_seals_of_other_protocols_are_never_shown_to_openai() -> None:
    ours = {"type": "reasoning", "id": "rs_ps_1", "summary": [], "encrypted_content": seal(Thinking("x", "signed"))}
    signed = {"type": "reasoning", "id": "rs_ps_2", "summary": []}
    signed |= {"encrypted_content": seal_of_call(ToolCall("c1", "look", signature="google"))}
    found = body(input=[USER, ours, CALL, signed])
    assert sent(found)["input"] == [USER, CALL]
    assert found.prompt().turns[1].parts == (
        Thinking("", "signed"),
        ToolCall("c1", "look", "{}", signature="google"),
    )


@pytest.mark.parametrize("said", [b"", b"[]", b"5", b"{", b'{"input":"x"', b"\xff", b'{"input":' + b"[" * 100_000])
def test_what_is_no_request_is_refused(said: bytes) -> None:
    with pytest.raises(Failure):
        PROTOCOL.read(said)


def test_ten_thousand_tools_and_items_are_read() -> None:
    tools = [{"type": "function", "name": f"tool_{at}", "parameters": {"type": "object"}} for at in range(10_000)]
    items = [USER] * 10_000
    found = body(tools=tools, input=items)
    assert len(found.prompt().tools) == 10_000
    assert len(found.prompt().turns) == 10_000


def test_an_envelope_that_was_tampered_with_is_no_more_than_a_seal() -> None:
    forged = {"type": "reasoning", "summary": [], "encrypted_content": "penstock.%%%"}
    turns = body(input=[forged]).prompt().turns
    assert turns[0].parts == (Thinking(sealed="penstock.%%%"),)
