"""HTTP tools against a real server on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from penstock.contracts.errors import Code, Failure
from penstock.contracts.tools import ToolResult
from services.tool_executor.check import ArgumentCheck
from services.tool_executor.credentials import Credentials
from services.tool_executor.http import HttpRunner
from services.tool_executor.toolsfile import BadToolsFile, ToolEntry

ENVIRONMENT = {"KEY": "s3cret-key-123"}


class Site:
    """A server whose answers are the test's, and what it was asked."""

    def __init__(self) -> None:
        self.port = 0
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def site(answer: Answer) -> AsyncIterator[Site]:
    it = Site()

    async def handle(request: web.Request) -> web.StreamResponse:
        it.seen.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        return await answer(request)

    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    server = web.TCPSite(runner, "127.0.0.1", 0)
    await server.start()
    it.port = runner.addresses[0][1]
    try:
        yield it
    finally:
        await runner.cleanup()


@asynccontextmanager
async def raw_site(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[Site]:
    """A server that need not speak HTTP properly. It counts connections by what was asked."""
    it = Site()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        method, path, _ = head.decode().split(" ", 2)
        it.seen.append((method, path, {}, b""))
        try:
            await talk(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()


def entry(url: str, *, effect: str = "read", output_max_bytes: int = 1000, **http: object) -> ToolEntry:
    return msgspec.convert(
        {
            "name": "probe",
            "description": "d",
            "kind": "http",
            "effect": effect,
            "output_max_bytes": output_max_bytes,
            "parameters": {"type": "object", "properties": {"q": {}, "id": {"default": "1"}}},
            "http": {"url": url, "private_hosts": ["127.0.0.1", "localhost"], **http},
        },
        ToolEntry,
    )


async def call(tool: ToolEntry, arguments: dict[str, object] | None = None, timeout_s: float = 5.0) -> ToolResult:
    runner = HttpRunner(tool, Credentials(ENVIRONMENT))
    try:
        return await runner.prepare(ArgumentCheck(tool.parameters).complete(arguments or {})).run(timeout_s)
    finally:
        await runner.close()


async def hello(request: web.Request) -> web.StreamResponse:
    return web.json_response({"hello": request.query.get("q", "")})


async def test_the_answer_is_the_result() -> None:
    async with site(hello) as server:
        result = await call(entry(server.url("/v1/{id}"), query={"q": "{q}"}), {"q": "a b"})
        assert result == ToolResult('{"hello": "a b"}', media_type="application/json")
        assert server.seen[0][:2] == ("GET", "/v1/1?q=a%20b")


async def test_a_body_is_sent_as_written() -> None:
    async with site(hello) as server:
        await call(entry(server.url("/"), method="POST", json={"q": "{q}"}), {"q": ["x"]})
        method, _, headers, body = server.seen[0]
        assert (method, headers["Content-Type"], body) == ("POST", "application/json", b'{"q":["x"]}')


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
async def test_a_bad_status_is_a_result_that_the_model_sees(status: int) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text="no such city")

    async with site(answer) as server:
        result = await call(entry(server.url("/")))
        assert result == ToolResult(f"HTTP {status}\nno such city", is_error=True)


async def test_a_secret_goes_out_and_does_not_come_back() -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        return web.Response(text=f"{request.headers['Authorization']} {request.raw_path}")

    credentials = [
        {"name": "Authorization", "prefix": "Bearer ", "source": "env:KEY"},
        {"name": "key", "place": "query", "source": "env:KEY"},
    ]
    async with site(echo) as server:
        result = await call(entry(server.url("/"), query={"q": "{q}"}, credentials=credentials), {"q": "1"})
        assert result.content == "Bearer [hidden] /?q=1&key=[hidden]"
        assert server.seen[0][2]["Authorization"] == "Bearer s3cret-key-123"


async def test_a_secret_cut_by_the_limit_does_not_come_back_in_part() -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        return web.Response(text="x" * 990 + request.headers["X-Api-Key"] + "y" * 5000)

    credentials = [{"name": "X-Api-Key", "source": "env:KEY"}]
    async with site(echo) as server:
        result = await call(entry(server.url("/"), credentials=credentials))
        assert result.truncated
        assert "s3c" not in result.content


async def test_a_missing_secret_is_a_failure_before_anything_is_sent() -> None:
    async with site(hello) as server:
        with pytest.raises(Failure) as caught:
            await call(entry(server.url("/"), credentials=[{"name": "X-Api-Key", "source": "env:GONE"}]))
        assert caught.value.code is Code.UNAVAILABLE
        assert caught.value.detail == "tool probe: the credential env:GONE is not there"
        assert server.seen == []


async def test_an_endless_answer_is_cut_and_left() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        while True:
            await response.write(b"x" * 10_000)

    async with site(endless) as server:
        result = await call(entry(server.url("/")))
        assert (len(result.content), result.truncated, result.is_error) == (1000, True, False)


async def test_a_compressed_bomb_is_cut() -> None:
    async def bomb(request: web.Request) -> web.StreamResponse:
        response = web.Response(body=b"0" * 50_000_000, content_type="text/plain")
        response.enable_compression(web.ContentCoding.gzip)
        return response

    async with site(bomb) as server:
        result = await call(entry(server.url("/")), timeout_s=20)
        assert (len(result.content), result.truncated) == (1000, True)


async def test_binary_is_named_and_not_shown() -> None:
    async def image(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"\x89PNG\0\0", content_type="image/png")

    async with site(image) as server:
        result = await call(entry(server.url("/")))
        assert result == ToolResult("[6 bytes or more of image/png, not shown]", truncated=True, media_type="image/png")


async def test_silence_ends_at_the_time_out() -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    async with site(silent) as server:
        result = await call(entry(server.url("/")), timeout_s=0.2)
        assert result == ToolResult("no answer within 0.2 s", is_error=True)


async def test_a_slow_trickle_ends_at_the_time_out() -> None:
    async def trickle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x")
        await asyncio.Event().wait()
        return response

    async with site(trickle) as server:
        assert (await call(entry(server.url("/")), timeout_s=0.2)).is_error


async def test_a_cancelled_call_ends_at_once() -> None:
    asked = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.Event().wait()
        return web.Response()

    async with site(silent) as server:
        running = asyncio.create_task(call(entry(server.url("/")), timeout_s=60))
        await asked.wait()
        running.cancel()
        async with asyncio.timeout(1.0):
            await asyncio.wait([running])
        assert running.cancelled()


async def test_nobody_there_is_a_result() -> None:
    async with site(hello) as server:
        url = server.url("/")
    assert await call(entry(url)) == ToolResult("could not connect to 127.0.0.1", is_error=True)


async def test_for_a_tool_with_effect_once_nobody_there_is_still_a_result() -> None:
    async with site(hello) as server:
        url = server.url("/")
    assert (await call(entry(url, effect="once", method="POST"))).is_error


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_tool_with_effect_once_whose_connection_breaks_is_not_sent_again(method: str) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        return

    async with raw_site(hang_up) as server:
        with pytest.raises(Failure) as caught:
            await call(entry(server.url("/"), effect="once", method=method))
        assert caught.value.code is Code.UNKNOWN_OUTCOME
        assert len(server.seen) == 1


async def test_a_tool_with_effect_once_that_times_out_has_an_unknown_outcome() -> None:
    async def silent(request: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    async with site(silent) as server:
        with pytest.raises(Failure) as caught:
            await call(entry(server.url("/"), effect="once", method="POST"), timeout_s=0.2)
        assert caught.value.code is Code.UNKNOWN_OUTCOME


async def test_what_is_not_http_is_a_result() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        await writer.drain()

    async with raw_site(nonsense) as server:
        result = await call(entry(server.url("/")))
        assert result == ToolResult("127.0.0.1 did not speak HTTP properly", is_error=True)


async def test_a_body_shorter_than_announced_is_an_error() -> None:
    async def short(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
        await writer.drain()

    async with raw_site(short) as server:
        assert (await call(entry(server.url("/")))).is_error


async def test_a_redirect_is_shown_and_not_followed() -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data/"})

    async with site(redirect) as server:
        result = await call(entry(server.url("/")))
        assert result == ToolResult("HTTP 302 (redirects are not followed)", is_error=True, media_type="text/plain")
        assert len(server.seen) == 1


async def test_a_redirect_within_the_host_is_followed_where_the_tool_says_so() -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        if request.path == "/old":
            return web.Response(status=301, headers={"Location": "/new#part"})
        return web.Response(text=f"{request.path} {request.headers['X-Api-Key']}")

    async with site(redirect) as server:
        credentials = [{"name": "X-Api-Key", "source": "env:KEY"}]
        result = await call(entry(server.url("/old"), redirects_max=1, credentials=credentials))
        assert result.content == "/new [hidden]"


@pytest.mark.parametrize(
    "place",
    [
        "http://169.254.169.254/",
        "http://localhost:1/",
        "//evil.example.com/",
        "file:///etc/passwd",
        "http://u@127.0.0.1/",
    ],
)
async def test_a_redirect_elsewhere_is_refused(place: str) -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": place})

    async with site(redirect) as server:
        with pytest.raises(Failure) as caught:
            await call(entry(server.url("/"), redirects_max=3))
        assert caught.value.code is Code.DENIED


async def test_redirects_in_a_circle_end() -> None:
    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "/"})

    async with site(redirect) as server:
        result = await call(entry(server.url("/"), redirects_max=3))
        assert result == ToolResult("more than 3 redirects", is_error=True)
        assert len(server.seen) == 4


async def test_a_private_address_is_refused_when_the_file_is_read() -> None:
    with pytest.raises(BadToolsFile, match=r"^127\.0\.0\.1 is at an address that may not be reached"):
        HttpRunner(entry("http://127.0.0.1/", private_hosts=[]), Credentials({}))


async def test_a_name_at_a_private_address_is_refused_when_it_is_called() -> None:
    async with site(hello) as server:
        with pytest.raises(Failure) as caught:
            await call(entry(server.url("/", host="localhost"), private_hosts=[]))
        assert caught.value.code is Code.DENIED
        assert caught.value.detail.startswith("localhost is at an address that may not be reached")
        assert server.seen == []


async def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to() -> None:
    asked: list[str] = []

    async def look(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    async with site(hello) as server:
        name = "only-the-test-knows-it.example.com"
        runner = HttpRunner(entry(server.url("/", host=name), private_hosts=[name]), Credentials({}), look)
        assert not (await runner.prepare({}).run(5.0)).is_error
        await runner.close()
        assert asked == [name]
        assert server.seen[0][2]["Host"] == f"{name}:{server.port}"


async def test_a_name_that_turns_inwards_is_refused_at_the_next_connection() -> None:
    """DNS rebinding: harmless when it was first looked at, inside when it matters."""
    answers = [["93.184.216.34"], ["127.0.0.1"]]

    async def rebinding(host: str, port: int) -> list[str]:
        return answers.pop(0)

    async with site(hello) as server:
        tool = entry(server.url("/", host="rebind.example.com"), private_hosts=[])
        runner = HttpRunner(tool, Credentials({}), rebinding)
        await rebinding("rebind.example.com", 80)
        with pytest.raises(Failure) as caught:
            await runner.prepare({}).run(5.0)
        await runner.close()
        assert caught.value.code is Code.DENIED
        assert server.seen == []


async def test_credentials_over_plain_http_are_refused() -> None:
    with pytest.raises(BadToolsFile, match="over https only"):
        HttpRunner(
            entry(
                "http://api.example.com/", private_hosts=[], credentials=[{"name": "X-Api-Key", "source": "env:KEY"}]
            ),
            Credentials(ENVIRONMENT),
        )


async def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with site(hello) as server:
        assert not (await call(entry(server.url("/")))).is_error


def test_policy_is_told_where_it_goes_and_whether_it_writes() -> None:
    tool = entry("https://api.example.com/", effect="idempotent", method="PUT")
    facts = HttpRunner(tool, Credentials({})).prepare({}).facts
    assert facts == {
        "hosts": ["api.example.com"],
        "method": "PUT",
        "methods": ["PUT"],
        "path": "/",
        "paths": ["/"],
        "writes": True,
    }


@pytest.mark.parametrize(
    ("effect", "headers", "seen"),
    [
        ("idempotent", {}, "key-1"),
        ("once", {}, "key-1"),
        ("read", {}, None),
        ("idempotent", {"idempotency-key": "{q}"}, "own"),
    ],
)
async def test_the_server_is_told_which_call_it_is(effect: str, headers: dict[str, str], seen: str | None) -> None:
    async with site(hello) as server:
        runner = HttpRunner(entry(server.url("/"), effect=effect, headers=headers), Credentials({}))
        try:
            await runner.prepare({"q": "own"}, "key-1").run(5.0)
        finally:
            await runner.close()
        received = {name.lower(): value for name, value in server.seen[0][2].items()}
        assert received.get("idempotency-key") == seen
