"""A request that goes on to Anthropic: only what must change is changed."""

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from services.router.fault import Fault
from services.router.protocols.anthropic_messages import PROTOCOL
from services.router.protocols.anthropic_messages.count import count_request, read_count
from services.router.protocols.protocol import Body, Needs, Target
from tests.services.router.protocols.anthropic_messages.requests import assistant, claude_code, encoded, user

MESSAGES = b'"messages":[ {"role":"user", "content":"\\u4e2d 1.10"} ]'


def request(*fields: bytes) -> bytes:
    return b"{" + b",".join((MESSAGES, *fields)) + b"}"


def sent(raw: bytes, *, streamed: bool = True, output_tokens_max: int = 0) -> dict[str, msgspec.Raw]:
    target = Target("claude-up", "e", streamed, output_tokens_max)
    return msgspec.json.decode(PROTOCOL.read(raw).for_upstream(target), type=dict[str, msgspec.Raw])


def test_it_is_a_body() -> None:
    body: Body = PROTOCOL.read(encoded(stream=True))
    assert (body.model, body.streamed, body.choices, body.output_tokens) == ("m", True, 1, 100)


def test_fields_that_we_do_not_know_survive_byte_for_byte() -> None:
    raw = request(
        b'"model":"chat"',
        b'"x_new":{ "deep": [1.0, 1e400, "\\ud83d\\ude00"] }',
        b'"system":[ {"type":"text","text":"x-anthropic-billing-header: a","cache_control":{ "type":"ephemeral" }} ]',
        b'"thread":{"type": "create"}',
        b'"temperature":1.0',
    )
    fields = sent(raw)
    assert bytes(fields["x_new"]) == b'{ "deep": [1.0, 1e400, "\\ud83d\\ude00"] }'
    assert bytes(fields["messages"]) == b'[ {"role":"user", "content":"\\u4e2d 1.10"} ]'
    assert b'"x-anthropic-billing-header: a","cache_control":{ "type":"ephemeral" }' in bytes(fields["system"])
    assert bytes(fields["thread"]) == b'{"type": "create"}'
    assert bytes(fields["temperature"]) == b"1.0"
    assert bytes(fields["model"]) == b'"claude-up"'


def test_absent_stays_absent_and_null_stays_null() -> None:
    assert set(sent(request(), streamed=False)) == {"messages", "model"}
    assert bytes(sent(request(b'"tools":null'))["tools"]) == b"null"


def test_whether_it_streams_is_the_target_s_to_say() -> None:
    assert bytes(sent(request(), streamed=True)["stream"]) == b"true"
    assert "stream" not in sent(request(b'"stream":true'), streamed=False)


def test_the_cap_is_lowered_to_the_target_s_and_never_raised() -> None:
    def cap(*fields: bytes, most: int = 0) -> bytes:
        return bytes(sent(request(*fields), output_tokens_max=most).get("max_tokens", msgspec.Raw(b"absent")))

    assert cap(b'"max_tokens":9000', most=500) == b"500"
    assert cap(b'"max_tokens":400', most=500) == b"400"
    assert cap(b'"max_tokens":0', most=500) == b"0"
    assert cap(most=500) == b"500"
    assert cap() == b"absent"


def test_what_a_request_needs_is_seen() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://x"}}
    document = {"type": "document", "source": {"type": "url", "url": "https://x"}}
    assert PROTOCOL.read(encoded()).needs == Needs()
    assert PROTOCOL.read(encoded(messages=[user([image, document])])).needs == Needs(images=True, documents=True)
    assert PROTOCOL.read(claude_code()).needs == Needs(tools=True, reasoning=True)
    schema = {"type": "json_schema", "schema": {}}
    assert PROTOCOL.read(encoded(output_config={"effort": "low", "format": schema})).needs == Needs(schema=True)
    assert PROTOCOL.read(encoded(output_format=schema)).needs == Needs(schema=True)
    assert PROTOCOL.read(encoded(tools=[], thinking={"type": "disabled"})).needs == Needs()


def test_words_about_images_are_no_images() -> None:
    assert PROTOCOL.read(encoded(messages=[user('send an "image" or a "document"')])).needs == Needs()


def test_images_in_line_are_not_counted_as_text() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0K" * 200_000}
    size = PROTOCOL.read(encoded(messages=[user([{"type": "image", "source": source}])])).size
    assert (size.images, size.text < 200) == (1, True)


def test_a_pdf_counts_as_several_pages() -> None:
    source = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x" * 1000}
    size = PROTOCOL.read(encoded(messages=[user([{"type": "document", "source": source}])])).size
    assert size.images == 10


def test_fifty_mebibytes_of_images_are_read_and_passed_on() -> None:
    data = b"iVBORw0K" * (50 * 1024 * 1024 // 8)
    block = b'{"type":"image","source":{"type":"base64","media_type":"image/png","data":"' + data + b'"}}'
    raw = b'{"messages":[{"role":"user","content":[' + block + b"]}]}"
    body = PROTOCOL.read(raw)
    assert body.size.at_most < 2000
    assert data in body.for_upstream(Target("m", "e", streamed=False))


def test_thoughts_that_other_models_signed_do_not_reach_anthropic() -> None:
    """Lesson 11: of a conversation that another provider began, Anthropic gets the words alone."""
    ours = {"type": "thinking", "thinking": "t", "signature": "penstock.signed.abc"}
    own = {"type": "thinking", "thinking": "", "signature": "EqQB"}
    text = {"type": "text", "text": "a"}
    messages = [user('say "penstock.'), assistant(ours, text), user("b"), assistant(own, text), assistant(ours)]
    made = msgspec.json.decode(sent(encoded(messages=messages))["messages"])
    assert made == [user('say "penstock.'), assistant(text), user("b"), assistant(own, text)]


def test_what_one_endpoint_minted_is_found_and_left_out_for_another() -> None:
    """Lesson 11: a fallback to another endpoint never shows it what it cannot honour; nothing else changes."""
    raw = (
        b'{"messages":[{"role":"user","content":"signature"},{"role":"assistant","content":['
        b'{"type":"thinking","thinking":"t","signature":"A"},{"type":"redacted_thinking","data":"B"},'
        b'{"type":"thinking","thinking":"","signature":"penstock.call.C"},'
        b'{"type":"thinking","thinking":"","signature":"penstock.sealed.4.rs_1D"},'
        b'{"type":"tool_use","id":"x","name":"f","input":{ "n":1.10 },"new":1}]}],"thread":{"type":"create"}}'
    )
    body = PROTOCOL.read(raw)
    assert body.artefacts() == ["A", "B", "C", "D"]
    made = msgspec.json.decode(
        body.without(frozenset({"B"})).for_upstream(Target("m", "e", streamed=False)), type=dict[str, msgspec.Raw]
    )
    assert bytes(made["messages"]) == (
        b'[{"role":"user","content":"signature"},{"role":"assistant","content":['
        b'{"type":"thinking","thinking":"t","signature":"A"},'
        b'{"type":"tool_use","id":"x","name":"f","input":{ "n":1.10 },"new":1}]}]'
    )
    assert PROTOCOL.read(b'{"messages":[5]}').artefacts() == []


def test_messages_without_such_thoughts_pass_as_they_are() -> None:
    raw = b'{"messages":[ {"role":"user","content":[ {"type":"text","text":"penstock."}, 5 ]} ]}'
    assert bytes(sent(raw)["messages"]) == b'[ {"role":"user","content":[ {"type":"text","text":"penstock."}, 5 ]} ]'


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"", ""),
        (b"not json", ""),
        (b'{"messages":[', ""),
        (b"[1]", ""),
        (b"\xff\xfe{}", ""),
        (request(b'"x":{"\xff":1}'), ""),
        (b'{"messages":' + b"[" * 100_000, ""),
        (b"{}", "messages"),
        (b'{"messages":"hello"}', "messages"),
        (b'{"messages":null}', "messages"),
        (request(b'"max_tokens":-1'), "max_tokens"),
        (request(b'"max_tokens":"many"'), "max_tokens"),
        (request(b'"max_tokens":1.5'), "max_tokens"),
        (request(b'"stream":"yes"'), "stream"),
        (request(b'"model":5'), "model"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_with_its_field(raw: bytes, param: str) -> None:
    with pytest.raises(Failure) as caught:
        PROTOCOL.read(raw)
    assert (caught.value.code, caught.value.param) == (Code.INVALID, param)


def test_a_count_is_asked_for_with_nothing_but_the_model_changed() -> None:
    raw = request(b'"model":"chat"', b'"tools":[ ]')
    sent = PROTOCOL.read(raw).for_upstream(Target("claude-up", "e", streamed=False))
    made = msgspec.json.decode(count_request(sent, "claude-up"), type=dict[str, msgspec.Raw])
    assert {name: bytes(value) for name, value in made.items()} == {
        "messages": b'[ {"role":"user", "content":"\\u4e2d 1.10"} ]',
        "model": b'"claude-up"',
        "tools": b"[ ]",
    }


def test_a_count_is_read() -> None:
    assert read_count(b'{"input_tokens":12,"context_management":null}') == 12
    with pytest.raises(Fault):
        read_count(b'{"tokens":12}')
