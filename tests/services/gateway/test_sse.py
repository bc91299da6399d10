"""An event stream to one client, with the client played by the test: what it reads, and when it stops to."""

import asyncio
from collections.abc import AsyncGenerator

from starlette.types import Message

from penstock.contracts.errors import Code, Failure
from services.gateway.dialects.by_path import OPENAI
from services.gateway.dialects.dialect import Dialect
from services.gateway.sse import Relay


class Client:
    """The far end of one request, as the HTTP server gives it: it reads while `reads` is set, until it leaves."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.reads.set()
        self.left = asyncio.Event()
        self.status = 0
        self.body = b""
        self.complete = False
        self.after_the_end: list[Message] = []

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        await self.reads.wait()
        if self.complete:
            self.after_the_end.append(message)
        elif message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.body += message["body"]
            self.complete = not message.get("more_body", False)

    def relay(self, keep_alive_s: float = 0.02, send_timeout_s: float = 5.0, dialect: Dialect = OPENAI) -> Relay:
        form = dialect.form("req_1")
        times = {"keep_alive_s": keep_alive_s, "send_timeout_s": send_timeout_s}
        return Relay(self.receive, self.send, dialect, form, "req_1", **times)


async def test_silence_is_filled_between_events_and_never_inside_of_one() -> None:
    client = Client()

    async def frames() -> AsyncGenerator[bytes, None]:
        for part in (b"data: ha", b"lf", b"\n", b"\n", b"data: whole\r\n\r\n", b"data: la", b"st\n\n"):
            yield part
            await asyncio.sleep(0.1)

    assert await client.relay().run(frames()) is None
    assert client.body.replace(b": keep-alive\n\n", b"|").replace(b"||", b"|").replace(b"||", b"|") == (
        b"data: half\n\n|data: whole\r\n\r\n|data: last\n\n|"
    )
    assert client.complete


async def test_a_stream_that_breaks_inside_of_an_event_has_its_error_in_an_event_of_its_own() -> None:
    client = Client()

    async def frames() -> AsyncGenerator[bytes, None]:
        yield b"data: ha"
        raise Failure(Code.UPSTREAM, "cut off")

    failure = await client.relay().run(frames())
    assert failure is not None
    assert client.body.startswith(b'data: ha\n\ndata: {"error":{"message":"cut off"')
    assert client.body.endswith(b"}\n\n")


async def test_nothing_is_sent_after_the_end_to_a_client_that_was_slow_to_take_it() -> None:
    client = Client()

    async def frames() -> AsyncGenerator[bytes, None]:
        yield b"data: one\n\n"
        client.reads.clear()

    running = asyncio.create_task(client.relay().run(frames()))
    await asyncio.sleep(0.1)  # several keep-alives would be due
    client.reads.set()
    assert await running is None
    await asyncio.sleep(0.05)
    assert client.body == b"data: one\n\n"
    assert client.after_the_end == []


async def test_a_client_that_stops_reading_is_given_up_and_the_frames_are_closed() -> None:
    client = Client()
    closed = asyncio.Event()

    async def frames() -> AsyncGenerator[bytes, None]:
        try:
            yield b"data: one\n\n"
            client.reads.clear()
            while True:
                yield b"data: more\n\n"
        finally:
            closed.set()

    failure = await asyncio.wait_for(client.relay(send_timeout_s=0.1).run(frames()), 3)
    assert failure is not None
    assert failure.code is Code.CANCELLED
    assert closed.is_set()


async def test_a_client_that_stops_reading_a_silent_stream_is_given_up_too() -> None:
    client = Client()

    async def frames() -> AsyncGenerator[bytes, None]:
        yield b"data: one\n\n"
        client.reads.clear()
        await asyncio.sleep(60)

    failure = await asyncio.wait_for(client.relay(send_timeout_s=0.1).run(frames()), 3)
    assert failure is not None
    assert failure.code is Code.CANCELLED


async def test_a_client_that_leaves_before_the_first_frame_ends_the_stream() -> None:
    client = Client()
    closed = asyncio.Event()

    async def frames() -> AsyncGenerator[bytes, None]:
        try:
            await asyncio.sleep(60)
            yield b""
        finally:
            closed.set()

    running = asyncio.create_task(client.relay(keep_alive_s=5.0).run(frames()))
    await asyncio.sleep(0)
    client.left.set()
    failure = await asyncio.wait_for(running, 3)
    assert failure is not None
    assert failure.code is Code.CANCELLED
    assert closed.is_set()
