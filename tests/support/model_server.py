"""A model provider as tests want it: speaks the documented OpenAI wire, and misbehaves on demand.

`python -m tests.support.model_server` runs it as a process that answers at once (for load): prints `ready <base url>`.
"""

import argparse
import asyncio
import base64
import socket
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
import uvloop

MODEL = "upstream-model-1"
CREATED = 1_790_000_000
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}

Json = dict[str, object]


@dataclass(frozen=True)
class Received:
    """One request. `body` is exactly what came; `fields` its JSON object, empty for anything else."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    fields: Json

    @property
    def model(self) -> str:
        return str(self.fields.get("model", ""))

    @property
    def streamed(self) -> bool:
        return self.fields.get("stream") is True

    @property
    def wants_usage(self) -> bool:
        options = self.fields.get("stream_options")
        return isinstance(options, dict) and options.get("include_usage") is True


class Line:
    """The connection, as a reply uses it. `head` with `length` None answers in chunks."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self._chunked = False

    def head(self, status: int = 200, *, length: int | None = None, **headers: str) -> None:
        self._chunked = length is None
        size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        text = "\r\n".join([f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", size, *lines, "", ""])
        self.transport.write(text.encode())

    def write(self, data: bytes) -> None:
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end(self) -> None:
        if self._chunked:
            self.transport.write(b"0\r\n\r\n")

    def cut(self) -> None:
        """Closes in the middle."""
        self.transport.close()

    def reset(self) -> None:
        """RST instead of an orderly end."""
        link = self.transport.get_extra_info("socket")
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


Reply = Callable[[Line, Received], Awaitable[None]]


# Replies ------------------------------------------------------------------------------------------------------------


def plain(
    text: str = "Hello!", *, prompt: int = 9, output: int = 3, cached: int = 0, usage: bool = True, **more: object
) -> Reply:
    """A whole answer. `more` are further top-level fields."""

    async def reply(line: Line, request: Received) -> None:
        message = {"role": "assistant", "content": text}
        answer: Json = _head("chat.completion") | {
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}]
        }
        if usage:
            answer["usage"] = usage_of(prompt, output, cached)
        await json(answer | more)(line, request)

    return reply


def streamed(
    *deltas: str,
    prompt: int = 9,
    output: int = 3,
    cached: int = 0,
    pause_s: float = 0.0,
    usage: bool = True,
    done: bool = True,
) -> Reply:
    """Role-only chunk, deltas, finish, the usage chunk when it was asked for, [DONE], each event by itself."""

    async def reply(line: Line, request: Received) -> None:
        line.head(Content_Type="text/event-stream; charset=utf-8")
        counts = usage and request.wants_usage
        line.write(chunk({"role": "assistant", "content": ""}, counted=counts))
        for text in deltas or ("Hello", "!"):
            await asyncio.sleep(pause_s)
            line.write(chunk({"content": text}, counted=counts))
        line.write(chunk({}, "stop", counted=counts))
        if counts:
            line.write(usage_chunk(prompt, output, cached))
        if done:
            line.write(b"data: [DONE]\n\n")
        line.end()

    return reply


def calls(name: str, arguments: str, *, pieces: int = 3) -> Reply:
    """A streamed tool call: id and name first, then the arguments in pieces."""

    async def reply(line: Line, request: Received) -> None:
        line.head(Content_Type="text/event-stream")
        first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
        line.write(chunk({"role": "assistant", "content": None, "tool_calls": [first]}))
        size = -(-len(arguments) // pieces)
        for start in range(0, len(arguments), size):
            piece = {"index": 0, "function": {"arguments": arguments[start : start + size]}}
            line.write(chunk({"tool_calls": [piece]}))
        line.write(chunk({}, "tool_calls"))
        if request.wants_usage:
            line.write(usage_chunk(20, 12, 0))
        line.write(b"data: [DONE]\n\n")
        line.end()

    return reply


def status(number: int, message: str = "no", *, kind: str = "", code: str | None = None, **headers: str) -> Reply:
    """An error, in the documented shape."""

    async def reply(line: Line, request: Received) -> None:
        error = {"message": message, "type": kind or "error", "param": None, "code": code}
        body = msgspec.json.encode({"error": error})
        line.head(number, length=len(body), Content_Type="application/json", **headers)
        line.write(body)

    return reply


def json(answer: object) -> Reply:
    """Any JSON, with 200."""
    return body(msgspec.json.encode(answer), "application/json")


def body(data: bytes, content_type: str = "text/event-stream") -> Reply:
    """These bytes, with 200, and their length."""

    async def reply(line: Line, request: Received) -> None:
        line.head(length=len(data), Content_Type=content_type)
        line.write(data)

    return reply


def events(*pieces: bytes, then: str = "end", pause_s: float = 0.0) -> Reply:
    """These bytes as a stream, each piece a write of its own, then: `end`, `hang`, `cut` or `reset`."""

    async def reply(line: Line, request: Received) -> None:
        line.head(Content_Type="text/event-stream")
        for piece in pieces:
            line.write(piece)
            await asyncio.sleep(pause_s)
        await _then(then, line)

    return reply


def hang() -> Reply:
    """Takes the request and says nothing, until the client hangs up."""

    async def reply(line: Line, request: Received) -> None:
        await asyncio.Event().wait()

    return reply


def hang_up() -> Reply:
    """Closes without a word."""

    async def reply(line: Line, request: Received) -> None:
        line.cut()

    return reply


def not_http() -> Reply:
    """Something else than HTTP."""

    async def reply(line: Line, request: Received) -> None:
        line.transport.write(b"\x16\x03\x01 hello, this is no web server\r\n\r\n")
        line.cut()

    return reply


def lying_length(answer: bytes = b'{"id": "chatcmpl-1", ') -> Reply:
    """Promises more than it sends."""

    async def reply(line: Line, request: Received) -> None:
        line.head(length=len(answer) + 100, Content_Type="application/json")
        line.write(answer)
        line.cut()

    return reply


def huge(size: int, content_type: str = "application/json") -> Reply:
    """So many bytes that mean nothing."""

    async def reply(line: Line, request: Received) -> None:
        line.head(Content_Type=content_type)
        for _ in range(size // 65536):
            line.write(b"x" * 65536)
            await asyncio.sleep(0)
        line.end()

    return reply


def embeddings(dimensions: int = 4) -> Reply:
    """For each text a vector that begins with its length; last text first, as the wire allows."""

    async def reply(line: Line, request: Received) -> None:
        texts = request.fields["input"]
        assert isinstance(texts, list)
        data = [
            {"object": "embedding", "index": place, "embedding": [float(len(str(text)))] + [0.5] * (dimensions - 1)}
            for place, text in enumerate(texts)
        ]
        answer = {"object": "list", "data": data[::-1], "model": MODEL}
        await json(answer | {"usage": {"prompt_tokens": 7, "total_tokens": 7}})(line, request)

    return reply


def usual() -> Reply:
    """The right kind of answer for whatever was asked."""

    async def reply(line: Line, request: Received) -> None:
        if request.path.endswith("/embeddings"):
            await embeddings()(line, request)
        else:
            await (streamed() if request.streamed else plain())(line, request)

    return reply


# Pieces of the wire --------------------------------------------------------------------------------------------------


def chunk(delta: Json, finish: str | None = None, *, counted: bool = False, **more: object) -> bytes:
    """One event. `counted`: with the null usage that every chunk has once usage was asked for."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    fields: Json = _head("chat.completion.chunk") | {"choices": [choice]}
    if counted:
        fields["usage"] = None
    return event(fields | more)


def usage_chunk(prompt: int, output: int, cached: int) -> bytes:
    """The extra chunk before [DONE]."""
    return event(_head("chat.completion.chunk") | {"choices": [], "usage": usage_of(prompt, output, cached)})


def usage_of(prompt: int, output: int, cached: int) -> Json:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def event(fields: object) -> bytes:
    return b"data: " + msgspec.json.encode(fields) + b"\n\n"


def error_event(message: str, code: str = "server_error") -> bytes:
    """An error where the status was 200 already."""
    return event({"error": {"message": message, "type": code, "code": code, "param": None}})


def base64_image(size: int) -> str:
    """A data URL of about `size` bytes."""
    return "data:image/png;base64," + base64.b64encode(bytes(size * 3 // 4)).decode()


def _head(kind: str) -> Json:
    return {"id": "chatcmpl-1", "object": kind, "created": CREATED, "model": MODEL, "service_tier": "default"}


async def _then(what: str, line: Line) -> None:
    match what:
        case "end":
            line.end()
        case "hang":
            await asyncio.Event().wait()
        case "cut":
            line.cut()
        case "reset":
            line.reset()


# The server ----------------------------------------------------------------------------------------------------------


@dataclass
class ModelServer:
    """`script(reply, reply, model=...)`: what requests for that model get, one after the other; the last one stays.
    `received` is every request, `hung_up` those whose client left before the reply was done."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    hung_up: list[Received] = field(default_factory=list)
    under_way: int = 0
    connections: int = 0
    _scripts: dict[str, list[Reply]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The base URL, as a deployment has it."""
        return f"http://127.0.0.1:{self.port}/v1"

    def script(self, *replies: Reply, model: str = "") -> None:
        self._scripts[model] = list(replies)

    def unscript(self, model: str) -> None:
        """Requests for that model get again what all others get."""
        self._scripts.pop(model, None)

    def asked(self, model: str) -> int:
        """How many requests came for a model."""
        return sum(request.model == model for request in self.received)

    def reply_for(self, request: Received) -> Reply:
        replies = self._scripts.get(request.model) or self._scripts.get("")
        if not replies:
            return usual()
        return replies.pop(0) if len(replies) > 1 else replies[0]


class _Connection(asyncio.Protocol):
    def __init__(self, server: ModelServer, open_connections: set["_Connection"]) -> None:
        self._server = server
        self._open = open_connections
        self._buffer = b""
        self._task: asyncio.Task[None] | None = None
        self._request: Received | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a stream's transport; uvloop's is no subclass
        self._open.add(self)
        self._server.connections += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.discard(self)
        if self._task is not None and self._request is not None:
            self._server.hung_up.append(self._request)
            self._task.cancel()

    def _next(self) -> None:
        request = self._parse()
        if request is None:
            return
        self._request = request
        self._server.received.append(request)
        self._server.under_way += 1
        self._task = asyncio.create_task(self._answer(request))

    async def _answer(self, request: Received) -> None:
        assert self.transport is not None
        try:
            await self._server.reply_for(request)(Line(self.transport), request)
        finally:
            self._server.under_way -= 1
            self._task = None
        if not self.transport.is_closing():
            self._next()

    def _parse(self) -> Received | None:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return None
        content, self._buffer = rest[:length], rest[length:]
        try:
            fields = msgspec.json.decode(content, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            fields = {}
        return Received(first.split(" ")[1], headers, content, fields)


@asynccontextmanager
async def model_server(port: int = 0) -> AsyncIterator[ModelServer]:
    """On loopback, in this loop."""
    server = ModelServer()
    connections: set[_Connection] = set()
    listener = await asyncio.get_running_loop().create_server(
        lambda: _Connection(server, connections), "127.0.0.1", port
    )
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for connection in list(connections):
            if connection.transport is not None:
                connection.transport.abort()
        await listener.wait_closed()


async def _serve(port: int) -> None:
    async with model_server(port) as server:
        sys.stdout.write(f"ready {server.url}\n")
        sys.stdout.flush()
        while True:
            await asyncio.sleep(1)
            server.received.clear()


if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m tests.support.model_server")
    parser.add_argument("--port", type=int, default=0)
    uvloop.run(_serve(parser.parse_args().port))
