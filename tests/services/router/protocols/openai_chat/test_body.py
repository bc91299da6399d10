"""Of a request only what must change is changed."""

from dataclasses import replace

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from services.router.protocols.openai_chat.body import read_chat
from services.router.protocols.protocol import Needs, Target
from tests.support.model_server import base64_image

MESSAGES = b'"messages":[ {"role":"user", "content":"\\u4e2d 1.10"} ]'


def request(*fields: bytes) -> bytes:
    return b"{" + b",".join((MESSAGES, *fields)) + b"}"


TARGET = Target("model-1", "here", streamed=True, output_tokens_field="max_completion_tokens")


def sent(raw: bytes, target: Target = TARGET) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(read_chat(raw).for_upstream(target), type=dict[str, msgspec.Raw])


def test_fields_that_we_do_not_know_survive_byte_for_byte() -> None:
    raw = request(
        b'"model":"chat"', b'"x_new":{ "deep": [1.0, 1e400, "\\ud83d\\ude00"] }', b'"seed":12345678901234567890'
    )
    fields = sent(raw)
    assert bytes(fields["x_new"]) == b'{ "deep": [1.0, 1e400, "\\ud83d\\ude00"] }'
    assert bytes(fields["seed"]) == b"12345678901234567890"
    assert bytes(fields["messages"]) == b'[ {"role":"user", "content":"\\u4e2d 1.10"} ]'


def test_the_model_is_the_deployment_s() -> None:
    assert bytes(sent(request(b'"model":"chat"'))["model"]) == b'"model-1"'
    assert bytes(sent(request())["model"]) == b'"model-1"'


def test_a_field_that_stands_twice_goes_on_once() -> None:
    assert bytes(sent(request(b'"model":"a"', b'"model":"b"'))["model"]) == b'"model-1"'


def test_absent_stays_absent() -> None:
    assert set(sent(request(), replace(TARGET, streamed=False))) == {"messages", "model"}


def test_a_stream_asks_for_usage_and_keeps_other_options() -> None:
    fields = sent(request(b'"stream_options":{"include_obfuscation":false}'))
    assert bytes(fields["stream"]) == b"true"
    assert bytes(fields["stream_options"]) == b'{"include_obfuscation":false,"include_usage":true}'


def test_a_deployment_that_knows_no_stream_options_gets_none() -> None:
    assert "stream_options" not in sent(request(), replace(TARGET, stream_usage=False))


def test_a_plain_call_is_not_streamed_whatever_the_body_says() -> None:
    fields = sent(
        request(b'"stream":true', b'"stream_options":{"include_usage":true}'), replace(TARGET, streamed=False)
    )
    assert set(fields) == {"messages", "model"}


@pytest.mark.parametrize(
    ("options", "wants"),
    [(b'{"include_usage":true}', True), (b'{"include_usage":false}', False), (b"null", False), (b"{}", False)],
)
def test_whether_the_caller_wants_usage_is_read(options: bytes, wants: bool) -> None:
    assert read_chat(request(b'"stream_options":' + options)).wants_usage is wants


def test_the_caller_s_cap_and_choices_are_read() -> None:
    assert read_chat(request()).output_tokens == 0
    assert read_chat(request(b'"max_tokens":100')).output_tokens == 100
    assert read_chat(request(b'"max_completion_tokens":300,"max_tokens":200')).output_tokens == 200
    assert (read_chat(request()).choices, read_chat(request(b'"n":3')).choices) == (1, 3)


def test_a_cap_is_put_in_only_where_the_deployment_has_one() -> None:
    assert bytes(sent(request(), replace(TARGET, output_tokens_max=500))["max_completion_tokens"]) == b"500"
    assert (
        bytes(sent(request(), replace(TARGET, output_tokens_max=500, output_tokens_field="max_tokens"))["max_tokens"])
        == b"500"
    )
    assert bytes(sent(request(b'"max_tokens":9000'), replace(TARGET, output_tokens_max=500))["max_tokens"]) == b"500"
    assert bytes(sent(request(b'"max_tokens":400'), replace(TARGET, output_tokens_max=500))["max_tokens"]) == b"400"


def test_tools_are_seen_and_counted() -> None:
    tools = b'"tools":[{"type":"function","function":{"name":"f"}}]'
    assert read_chat(request(tools)).needs.tools
    assert read_chat(request(tools)).size.text == read_chat(request()).size.text + len(tools) - len(b'"tools":')
    assert not read_chat(request(b'"tools":[]')).needs.tools
    assert not read_chat(request(b'"tools":null')).needs.tools


def test_images_in_line_are_not_counted_as_text() -> None:
    raw = msgspec.json.encode(
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": base64_image(10**6)}}]}]}
    )
    assert read_chat(raw).size.at_most < 2000


@pytest.mark.parametrize(
    ("raw", "param"),
    [
        (b"", ""),
        (b"not json", ""),
        (b'{"messages":[', ""),
        (b"[1]", ""),
        (b'"text"', ""),
        (b"\xff\xfe{}", ""),
        (b"{}", "messages"),
        (b'{"messages":"hello"}', "messages"),
        (b'{"messages":null}', "messages"),
        (b'{"messages":[],"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", ""),
        (request(b'"model":5'), "model"),
        (request(b'"max_tokens":0'), "max_tokens"),
        (request(b'"max_tokens":"many"'), "max_tokens"),
        (request(b'"max_completion_tokens":1.5'), "max_completion_tokens"),
        (request(b'"n":-1'), "n"),
        (request(b'"n":100000'), "n"),
        (request(b'"stream_options":[]'), "stream_options"),
        (request(b'"stream_options":{"include_usage":"yes"}'), "stream_options"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused_with_its_field(raw: bytes, param: str) -> None:
    with pytest.raises(Failure) as caught:
        read_chat(raw)
    assert (caught.value.code, caught.value.param) == (Code.INVALID, param)


def test_the_model_and_whether_a_stream_is_wanted_are_read() -> None:
    assert (read_chat(request()).model, read_chat(request()).streamed) == ("", False)
    found = read_chat(request(b'"model":"chat"', b'"stream":true'))
    assert (found.model, found.streamed) == ("chat", True)


def test_what_a_request_needs_is_seen() -> None:
    def needs(content: object, **more: object) -> Needs:
        return read_chat(msgspec.json.encode({"messages": [{"role": "user", "content": content}]} | more)).needs

    assert needs("hi", reasoning_effort="none", response_format={"type": "text"}) == Needs()
    assert needs("hi", functions=[{"name": "f"}]).tools
    assert needs("hi", response_format={"type": "json_schema", "json_schema": {"name": "a"}}).schema
    assert needs([{"type": "image_url", "image_url": {"url": "https://x/y"}}]) == Needs(images=True)
    assert needs([{"type": "file", "file": {"file_id": "f"}}]) == Needs(documents=True)
    assert needs([{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]) == Needs(audio=True)
    assert needs("hi", modalities=["audio"], audio={"voice": "x", "format": "wav"}) == Needs(audio=True)
    assert needs("hi", reasoning_effort="low") == Needs(reasoning=True)
    assert needs('{"type": "image_url"}') == Needs()


def test_deep_nesting_is_refused_and_not_a_crash() -> None:
    deep = read_chat(request(b'"x":' + b"[" * 500 + b"]" * 500))
    assert len(deep.fields["x"]) == 1000
