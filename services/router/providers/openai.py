"""The OpenAI wire over HTTP: OpenAI and every compatible endpoint (vLLM, llama.cpp, Ollama, Anthropic, Gemini …)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from yarl import URL

from services.router.deployment import CHAT, EMBEDDINGS, Deployment, Kind
from services.router.fault import Fault, FaultKind, refused
from services.router.http import Exchange, Http
from services.router.keys import hide
from services.router.providers.provider import Ask

PATHS: dict[Kind, str] = {CHAT: "chat/completions", EMBEDDINGS: "embeddings"}
RETRY_AFTER_MAX_S = 3600.0


class OpenAI:
    """Keeps the parsed addresses, nothing else."""

    def __init__(self, http: Http, *, response_max_bytes: int) -> None:
        self._http = http
        self._response_max_bytes = response_max_bytes
        self._urls: dict[tuple[str, Kind], URL] = {}

    async def whole(self, ask: Ask) -> bytes:
        ask.watch.whole()
        exchange = await self._send(ask)
        try:
            return await exchange.read_all(self._response_max_bytes)
        finally:
            exchange.close()

    @asynccontextmanager
    async def stream(self, ask: Ask) -> AsyncIterator[AsyncIterator[bytes]]:
        ask.watch.headers()
        exchange = await self._send(ask)
        try:
            if not exchange.header("Content-Type").lower().startswith("text/event-stream"):
                raise _no_stream(await _said(exchange, ask.deployment), _retry_after_s(exchange))
            ask.watch.first_content()
            yield exchange
        finally:
            exchange.close()

    async def _send(self, ask: Ask) -> Exchange:
        deployment = ask.deployment
        headers = {"Authorization": f"Bearer {deployment.key.reveal()}"} if deployment.key else {}
        exchange = await self._http.post(self._url(deployment.base_url, ask.kind), headers, ask.body)
        if exchange.status == 200:
            return exchange
        try:
            raise refused(exchange.status, await _said(exchange, deployment), _retry_after_s(exchange))
        finally:
            exchange.close()

    def _url(self, base_url: str, kind: Kind) -> URL:
        url = self._urls.get((base_url, kind))
        if url is None:
            url = self._urls[base_url, kind] = URL(f"{base_url.rstrip('/')}/{PATHS[kind]}")
        return url


async def _said(exchange: Exchange, deployment: Deployment) -> bytes:
    """The start of an error's body, without our key. The status decides: a broken body changes only the words."""
    try:
        body = await exchange.read_some()
    except Fault:
        return b""
    return hide(deployment.key, body)


def _no_stream(body: bytes, retry_after_s: float) -> Fault:
    """A 200 that is no stream: an error in JSON, or a page of something else."""
    fault = refused(0, body, retry_after_s)
    if fault.kind is FaultKind.TRANSIENT:
        return Fault(FaultKind.GARBAGE, "the provider's answer is not a stream of events", sent=True)
    return fault


def _retry_after_s(exchange: Exchange) -> float:
    """Seconds; 0 when the provider gave none, or a date (whose clock is not ours)."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(exchange.header(name)) * unit_s
        except ValueError:
            continue
        if seconds >= 0:
            return min(seconds, RETRY_AFTER_MAX_S)
    return 0.0
