"""Providers over HTTP, each in its own protocol: OpenAI and every compatible endpoint, Azure, Anthropic, Gemini."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

from services.router.fault import Fault, FaultKind, refused
from services.router.models.deployment import Deployment
from services.router.models.keys import hide
from services.router.providers.address import address, credentials, passed_on
from services.router.providers.http import Exchange, Http
from services.router.providers.provider import Ask

RETRY_AFTER_MAX_S = 3600.0


class Hosted:
    """Keeps nothing."""

    def __init__(self, http: Http, *, response_max_bytes: int) -> None:
        self._http = http
        self._response_max_bytes = response_max_bytes

    async def whole(self, ask: Ask) -> bytes:
        ask.watch.whole()
        exchange = await self._send(ask, streamed=False)
        try:
            return await exchange.read_all(self._response_max_bytes)
        finally:
            exchange.close()

    @asynccontextmanager
    async def stream(self, ask: Ask) -> AsyncIterator[AsyncIterator[bytes]]:
        ask.watch.headers()
        exchange = await self._send(ask, streamed=True)
        try:
            if not exchange.header("Content-Type").lower().startswith("text/event-stream"):
                raise _no_stream(await _said(exchange, ask.deployment), _retry_after_s(exchange))
            ask.watch.first_content()
            yield exchange
        finally:
            exchange.close()

    async def _send(self, ask: Ask, *, streamed: bool) -> Exchange:
        deployment = ask.deployment
        headers = credentials(deployment.provider, ask.protocol, deployment.key.reveal())
        headers |= passed_on(ask.protocol, ask.headers, deployment.headers, deployment.version)
        url = address(deployment.base_url, ask.protocol, deployment.model, streamed)
        exchange = await self._http.post(url, headers, ask.body)
        if exchange.status == 200:
            return exchange
        try:
            said = await _said(exchange, deployment)
            raise refused(exchange.status, said, _retry_after_s(exchange), ask.protocol)
        finally:
            exchange.close()


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
    """Seconds; 0 when the provider gave none. A date is read against the provider's own clock, where it tells it."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        said = exchange.header(name)
        try:
            seconds = float(said) * unit_s
        except ValueError:
            seconds = _until(said, exchange.header("date"))
        if seconds > 0:
            return min(seconds, RETRY_AFTER_MAX_S)
    return 0.0


def _until(date: str, now: str) -> float:
    """Seconds from `now` (or this machine's time) until `date`, both as HTTP writes them; 0 for what is no date."""
    try:
        then = parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, IndexError):
        return 0.0
    try:
        return then - parsedate_to_datetime(now).timestamp()
    except (ValueError, TypeError, IndexError):
        return then - time.time()
