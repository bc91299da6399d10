"""Answers say what they continue, although their provider was not told."""

import json

import msgspec
import pytest

from services.router.passage import Terms, passage
from services.router.protocols.openai_responses.reading import raw_of
from services.router.protocols.protocol import Shape, Target
from services.router.protocols.table import PROTOCOLS
from services.router.responses.continued import Continued, restored
from services.router.sse import SseParser

NAME = "openai.responses"
PREVIOUS = raw_of("resp_0")
RESPONSE = (
    b'{"id":"resp_1", "object":"response","status":"completed","previous_response_id": null,"x_theirs":[1.10],'
    b'"output":[{"type":"message","role":"assistant","content":[{"type":"output_text",'
    b'"text":"\\"previous_response_id\\":null"}]}],"usage":{"input_tokens":1,"output_tokens":2}}'
)


def way() -> Continued:
    body = PROTOCOLS[NAME].read(b'{"model":"m","input":"go on","previous_response_id":"resp_0"}')
    shape, target = Shape("m", "resp_1", 0), Target("m", "e", streamed=True)
    return Continued(passage(PROTOCOLS, NAME, (NAME,), body, target, shape, Terms("report")), "resp_0")


def test_the_whole_answer_names_it_and_nothing_else_changes() -> None:
    answer, told = way().answer(RESPONSE)
    assert told.id == "resp_1"
    fields = msgspec.json.decode(answer, type=dict[str, msgspec.Raw])
    before = msgspec.json.decode(RESPONSE, type=dict[str, msgspec.Raw])
    assert list(fields) == list(before)
    assert bytes(fields.pop("previous_response_id")) == b'"resp_0"'
    before.pop("previous_response_id")
    assert {name: bytes(raw) for name, raw in fields.items()} == {name: bytes(raw) for name, raw in before.items()}


@pytest.mark.parametrize(
    "same",
    [
        b"{}",
        b'{"previous_response_id":"resp_theirs"}',
        b'{"output":[{"previous_response_id":null}]}',
        b'{"previous_response_id":nul',
        b'["previous_response_id"]',
    ],
)
def test_what_says_something_or_nothing_of_it_stays(same: bytes) -> None:
    assert restored(same, PREVIOUS) == same


def event(kind: str, **fields: object) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), msgspec.json.encode({"type": kind, **fields}))


def test_the_events_that_hold_the_response_name_it_and_others_pass_byte_for_byte() -> None:
    started = json.loads(RESPONSE) | {"status": "in_progress", "output": []}
    delta = event("response.output_text.delta", delta='say "previous_response_id":null', output_index=0)
    stream = (
        event("response.created", response=started, sequence_number=0)
        + delta
        + event("response.completed", response=msgspec.Raw(RESPONSE), sequence_number=2)
    )
    conveyor = way().conveyor()
    shown = [conveyor.read(event)[1] for event in SseParser(10_000).feed(stream)]
    shown.append(conveyor.end())
    assert conveyor.done and conveyor.whole
    assert shown[1] == delta
    events = SseParser(10_000).feed(b"".join(shown))
    assert [found.name for found in events] == [
        b"response.created",
        b"response.output_text.delta",
        b"response.completed",
    ]
    for place in (0, 2):
        response = json.loads(events[place].data or b"")["response"]
        assert (response["previous_response_id"], response["x_theirs"]) == ("resp_0", [1.1])
