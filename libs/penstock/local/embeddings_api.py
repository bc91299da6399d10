"""The OpenAI embeddings wire over the embedder: POST /v1/embeddings, GET /v1/models."""

import asyncio
import base64
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.local.embedder import DIMENSIONS, Embedder


class _Wanted(msgspec.Struct):
    input: str | list[str]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int = DIMENSIONS


class _Embedding(msgspec.Struct):
    index: int
    embedding: list[float] | str
    object: str = "embedding"


class _Usage(msgspec.Struct):
    prompt_tokens: int
    total_tokens: int


class _Answer(msgspec.Struct):
    data: list[_Embedding]
    usage: _Usage
    model: str
    object: str = "list"


class _Model(msgspec.Struct):
    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "sentence-transformers"


class _Models(msgspec.Struct):
    data: list[_Model]
    object: str = "list"


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


class EmbeddingsApi:
    """Computes `at_once` requests at a time, in threads; the others wait."""

    def __init__(
        self,
        embedder: Embedder,
        model: str,
        max_inputs: int = 256,
        max_body_bytes: int = 4 * 1024 * 1024,
        at_once: int = 1,
    ) -> None:
        self._embedder = embedder
        self._model = model
        self._max_inputs = max_inputs
        self._max_body_bytes = max_body_bytes
        self._turns = asyncio.Semaphore(at_once)

    def routes(self) -> list[Route]:
        return [
            Route("/v1/embeddings", self.embed, methods=["POST"]),
            Route("/v1/models", self.models, methods=["GET"]),
            Route("/health", self.models, methods=["GET"]),
        ]

    async def serve(self, port: int, ready: Callable[[str], None], drain_s: int = 5) -> None:
        """On loopback until SIGTERM or SIGINT; `ready` is told the base URL. Port 0 is a free one."""
        listener = socket.create_server(("127.0.0.1", port))

        @asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            ready(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
            yield

        app = Starlette(routes=self.routes(), lifespan=lifespan)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=drain_s)
        await uvicorn.Server(config).serve(sockets=[listener])

    async def models(self, _: Request) -> Response:
        return _json(200, _Models([_Model(self._model)]))

    async def embed(self, request: Request) -> Response:
        try:
            wanted = self._read(await self._body(request))
        except _Refused as refused:
            error = {"message": str(refused), "type": "invalid_request_error", "param": None, "code": None}
            return _json(refused.status, {"error": error})
        texts = [wanted.input] if isinstance(wanted.input, str) else wanted.input
        async with self._turns:
            vectors, tokens = await asyncio.to_thread(self._embedder.embed_counted, texts)
        pack = _base64 if wanted.encoding_format == "base64" else _floats
        data = [_Embedding(index, pack(vector)) for index, vector in enumerate(vectors)]
        return _json(200, _Answer(data, _Usage(tokens, tokens), self._model))

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self._max_body_bytes:
                raise _Refused(413, f"The body is larger than {self._max_body_bytes} bytes.")
        return bytes(body)

    def _read(self, body: bytes) -> _Wanted:
        try:
            wanted = msgspec.json.decode(body, type=_Wanted)
        except msgspec.MsgspecError as error:
            raise _Refused(400, str(error)) from error
        if wanted.dimensions != DIMENSIONS:
            raise _Refused(400, f"dimensions can only be {DIMENSIONS}.")
        if not wanted.input:
            raise _Refused(400, "input is empty.")
        if not isinstance(wanted.input, str) and len(wanted.input) > self._max_inputs:
            raise _Refused(400, f"input has more than {self._max_inputs} texts.")
        return wanted


def _floats(vector: list[float]) -> list[float] | str:
    return vector


def _base64(vector: list[float]) -> list[float] | str:
    """32-bit floats, little-endian, as OpenAI's clients ask for unless told otherwise."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _json(status: int, body: object) -> Response:
    return Response(msgspec.json.encode(body), status, media_type="application/json")
