"""The Hosted wire over HTTP, against a provider that does all that providers do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from services.router.attempts.watch import Watch
from services.router.fault import Fault, FaultKind
from services.router.models.deployment import Deployment
from services.router.providers.hosted import Hosted
from services.router.providers.http import Http
from services.router.providers.provider import Ask
from tests.support import model_server as wire
from tests.support.deployments import deployment
from tests.support.eventually import eventually
from tests.support.model_server import ModelServer

BODY = b'{"model":"model-1", "messages":[]}'
KEY = "sk-very-secret"


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with wire.model_server() as server:
        yield server


@pytest.fixture
async def provider() -> AsyncIterator[Hosted]:
    http = Http(connect_timeout_s=1.0, keep_alive_s=5.0)
    yield Hosted(http, response_max_bytes=200_000)
    await http.close()


def ask(server: ModelServer, **changes: str) -> Ask:
    loop = asyncio.get_running_loop()
    wanted: Deployment = deployment(base_url=server.url, key=KEY)
    return Ask(wanted, BODY, Watch(wanted.timeouts, loop.time() + 10.0, loop))


async def whole(provider: Hosted, server: ModelServer) -> bytes:
    asked = ask(server)
    async with asked.watch:
        return await provider.whole(asked)


async def pieces(provider: Hosted, server: ModelServer) -> bytes:
    asked = ask(server)
    seen = b""
    async with asked.watch, provider.stream(asked) as stream:
        async for piece in stream:
            seen += piece
    return seen


async def fault_of(provider: Hosted, server: ModelServer, reply: wire.Reply, *, streamed: bool = False) -> Fault:
    server.script(reply)
    with pytest.raises(Fault) as caught:
        await (pieces if streamed else whole)(provider, server)
    return caught.value


async def test_the_body_goes_out_untouched_with_our_key_and_nothing_of_the_caller_s(
    provider: Hosted, server: ModelServer
) -> None:
    await whole(provider, server)
    request = server.received[0]
    assert request.path == "/v1/chat/completions"
    assert request.body == BODY
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept-encoding"] == "identity"
    assert set(request.headers) == {
        "host", "authorization", "content-type", "accept-encoding", "user-agent", "content-length",
    }  # fmt: skip


async def test_one_connection_serves_call_after_call(provider: Hosted, server: ModelServer) -> None:
    for _ in range(5):
        await whole(provider, server)
    server.script(wire.streamed("a"))
    for _ in range(5):
        await pieces(provider, server)
    assert server.connections == 1


async def test_a_kept_connection_that_was_closed_meanwhile_costs_no_failure(
    provider: Hosted, server: ModelServer
) -> None:
    server.script(wire.plain("first"), wire.hang_up(), wire.plain("second"))
    assert b"first" in await whole(provider, server)
    assert b"second" in await whole(provider, server)
    assert server.connections == 2


async def test_a_new_connection_that_is_closed_without_an_answer_is_not_tried_again(
    provider: Hosted, server: ModelServer
) -> None:
    await fault_of(provider, server, wire.hang_up())
    assert len(server.received) == 1


async def test_a_key_that_the_provider_echoes_is_not_shown(provider: Hosted, server: ModelServer) -> None:
    fault = await fault_of(provider, server, wire.status(400, f"bad header Bearer {KEY}"))
    assert fault.detail == "the provider refused the request: bad header Bearer [key]"
    assert KEY not in str(fault)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("reply", "kind", "sent"),
    [
        (wire.hang_up(), FaultKind.TRANSIENT, True),
        (wire.not_http(), FaultKind.GARBAGE, True),
        (wire.status(301, location="http://127.0.0.1:1/"), FaultKind.GARBAGE, False),
        (wire.status(429, retry_after="Wed, 21 Oct 2026 07:28:00 GMT"), FaultKind.RATE, False),
    ],
)
async def test_what_goes_wrong_before_the_answer(
    provider: Hosted, server: ModelServer, reply: wire.Reply, kind: FaultKind, sent: bool, streamed: bool
) -> None:
    fault = await fault_of(provider, server, reply, streamed=streamed)
    assert (fault.kind, fault.sent) == (kind, sent)


async def test_an_answer_cut_short_is_a_fault(provider: Hosted, server: ModelServer) -> None:
    fault = await fault_of(provider, server, wire.lying_length())
    assert (fault.kind, fault.detail) == (FaultKind.TRANSIENT, "the provider's answer was cut short")


async def test_an_answer_above_the_limit_is_given_up(provider: Hosted, server: ModelServer) -> None:
    fault = await fault_of(provider, server, wire.huge(10_000_000))
    assert (fault.kind, fault.detail) == (FaultKind.GARBAGE, "the provider's answer is larger than 200000 bytes")


@pytest.mark.parametrize("then", ["cut", "reset"])
async def test_a_stream_cut_in_the_middle_is_a_fault(provider: Hosted, server: ModelServer, then: str) -> None:
    fault = await fault_of(provider, server, wire.events(wire.chunk({"content": "x"}), then=then), streamed=True)
    assert fault.kind is FaultKind.TRANSIENT


async def test_a_page_instead_of_a_stream_is_garbage(provider: Hosted, server: ModelServer) -> None:
    fault = await fault_of(provider, server, wire.body(b"<html>hello</html>", "text/html"), streamed=True)
    assert (fault.kind, fault.detail) == (FaultKind.GARBAGE, "the provider's answer is not a stream of events")


async def test_an_error_in_json_instead_of_a_stream_keeps_its_kind(provider: Hosted, server: ModelServer) -> None:
    reply = wire.json({"error": {"message": "slow down", "code": "rate_limit_exceeded"}})
    assert (await fault_of(provider, server, reply, streamed=True)).kind is FaultKind.RATE


async def test_nobody_at_the_address_is_a_fault(provider: Hosted) -> None:
    async with wire.model_server() as gone:
        pass
    fault = await fault_of(provider, gone, wire.usual())
    assert (fault.kind, fault.sent) == (FaultKind.TRANSIENT, False)
    assert fault.detail == "the provider cannot be reached"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("reply", [wire.hang(), wire.events(wire.chunk({"content": "x"}), then="hang")])
async def test_a_caller_who_leaves_closes_the_upstream_within_a_second(
    provider: Hosted, server: ModelServer, reply: wire.Reply, streamed: bool
) -> None:
    server.script(reply)
    task = asyncio.create_task((pieces if streamed else whole)(provider, server))

    async def asked() -> None:
        assert server.under_way == 1

    async def left() -> None:
        assert len(server.hung_up) == 1
        assert server.under_way == 0

    await eventually(asked)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await eventually(left, within_s=1.0)


async def test_a_reader_that_stops_stops_the_provider(provider: Hosted, server: ModelServer) -> None:
    """What a slow reader has not taken is bounded by our buffer and the sockets', not by what the provider has."""
    server.script(wire.huge(64_000_000, "text/event-stream"))
    asked = ask(server)
    async with asked.watch, provider.stream(asked) as stream:
        assert await anext(stream)
        size = 0
        async for piece in stream:
            size = max(size, len(piece))
            if size:
                break
    assert 0 < size < 1_000_000
