"""Where a stream is cut, how its lines end and what stands between its events changes nothing of what is heard."""

from itertools import chain

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import Usage
from services.router.protocols.loss import Losses
from services.router.protocols.protocol import Shape
from services.router.protocols.table import PROTOCOLS
from services.router.sse import SseParser
from tests.services.router.conftest import Plane
from tests.services.router.lessons.callers import SURFACES, Heard, Step, follow, hear_stream, request
from tests.support.model_server import Json, events

COMMENT = b": OPENROUTER PROCESSING\n\n"


def data(delta: Json, finish: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return msgspec.json.encode({"id": "c-1", "created": 1, "model": "m", "choices": [choice]} | more)


LAST = data(
    {"content": "."},
    "stop",
    usage={
        "prompt_tokens": 9,
        "completion_tokens": 3,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 4},
    },
)
FIRST, WORDS, MORE = data({"role": "assistant", "content": ""}), data({"content": "Grüße, "}), data({"content": "🌍"})
HALF, REST = LAST.split(b',"choices"', 1)
AWKWARD = b"".join(
    [
        COMMENT,
        b"data: " + FIRST + b"\n\n",
        b":\n\n",
        b"event: message\nid: 7\nretry: 10\ndata:" + WORDS + b"\n\n",
        b": in an event of its own\ndata: " + MORE + b"\n\n",
        b"\n\n",
        # one event whose JSON is on two lines, with the usage beside the last words; no [DONE], no line end
        b"data: " + HALF + b',\ndata: "choices"' + REST,
    ]
)
ENDINGS = {"lf": b"\n", "crlf": b"\r\n", "cr": b"\r"}
COUNTED = Usage(uncached=5, cache_read=4, output=3)


def heard_by(surface: str, pieces: list[bytes]) -> tuple[Heard, Usage | None]:
    """Through the router's own parts, as a caller of that protocol hears it."""
    protocol = PROTOCOLS[surface]
    shape = Shape("m", "id-1", 1, wants_usage=True)
    parser = SseParser(100_000)
    sent: list[bytes] = []
    if surface == "openai.chat":
        tap = protocol.tap(strip_usage=False)
        for event in chain(*map(parser.feed, pieces), parser.finish()):
            sent.append(tap.read(event)[1])
        return hear_stream(surface, unified(b"".join([*sent, tap.end()]))), tap.told.usage
    reader, writer = PROTOCOLS["openai.chat"].reader(), PROTOCOLS[surface].writer(shape, Losses())
    for event in chain(*map(parser.feed, pieces), parser.finish()):
        sent += [writer.write(piece) for piece in reader.read(event)[1]]
    sent += [writer.write(piece) for piece in reader.end()]
    return hear_stream(surface, b"".join([*sent, writer.end()])), reader.told.usage


def unified(raw: bytes) -> bytes:
    return raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("surface", SURFACES)
def test_every_cut_in_two_and_byte_by_byte_is_heard_alike(surface: str, ending: str) -> None:
    raw = AWKWARD.replace(b"\n", ENDINGS[ending])
    whole, usage = heard_by(surface, [raw])
    assert (whole.text, usage) == ("Grüße, 🌍.", COUNTED)
    assert heard_by(surface, [raw[at : at + 1] for at in range(len(raw))]) == (whole, usage)
    for cut in range(1, len(raw)):
        assert heard_by(surface, [raw[:cut], raw[cut:]]) == (whole, usage), cut


@pytest.mark.parametrize("ending", ENDINGS)
async def test_the_router_passes_an_awkward_stream_on_in_every_protocol(plane: Plane, ending: str) -> None:
    raw = AWKWARD.replace(b"\n", ENDINGS[ending])
    plane.deploy("wire", "one", protocols=["openai.chat"])
    async with plane.router():
        for surface in SURFACES:
            for pieces in ([raw], [raw[:100], raw[100:]], [raw[at : at + 1] for at in range(len(raw))]):
                plane.server.script(events(*pieces))
                body = request(surface, [Step("hi")], streamed=True)
                text, end = await follow(plane, "wire", surface, body)
                assert hear_stream(surface, unified(text)).text == "Grüße, 🌍."
                assert end.served.usage == COUNTED


async def test_comments_stay_comments_and_every_event_stays_as_it_came(plane: Plane) -> None:
    plane.server.script(events(AWKWARD))
    async with plane.router():
        text, _ = await follow(plane, "chat", "openai.chat", request("openai.chat", [Step("hi")], streamed=True))
    assert text == AWKWARD + b"\n\ndata: [DONE]\n\n"


@pytest.mark.parametrize("surface", SURFACES)
async def test_an_event_without_an_end_is_cut_off_at_the_limit(plane: Plane, surface: str) -> None:
    plane.deploy("wire", "one", protocols=["openai.chat"])
    plane.server.script(events(b"data: " + FIRST + b"\n\n", b"data: " + b"x" * 20_000, then="hang"))
    async with plane.router(event_max_bytes=10_000):
        with pytest.raises(Failure) as caught:
            await follow(plane, "wire", surface, request(surface, [Step("hi")], streamed=True))
    assert caught.value.code is Code.UPSTREAM
    assert caught.value.detail == "a server-sent event is larger than 10000 bytes"
