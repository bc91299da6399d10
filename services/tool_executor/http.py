"""HTTP tools: one request to a fixed host, bounded in time and size, with credentials that never come back."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from urllib.parse import quote, urljoin

from aiohttp import (
    ClientConnectionError,
    ClientConnectorError,
    ClientError,
    ClientHandlerType,
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ClientSession,
    ClientTimeout,
    ConnectionTimeoutError,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
)
from yarl import URL

from penstock.contracts.errors import Code, Failure
from penstock.contracts.policy import Fact
from penstock.contracts.tools import ToolResult
from penstock.kit.egress import AddressRefused, CheckedResolver, Lookup, lookup
from services.tool_executor.credentials import CredentialMissing, Credentials, forms
from services.tool_executor.output import is_text, margin, readable
from services.tool_executor.request import Origin, Outgoing, RequestPlan, normalised
from services.tool_executor.runner import FREE, Bounds, OutOfBounds, Prepared
from services.tool_executor.toolsfile import BadToolsFile, HttpSettings, ToolEntry

_CHUNK_BYTES = 64 * 1024
_HEADER_BYTES_MAX = 16 * 1024
_KEY_HEADER = "Idempotency-Key"
"""As in draft-ietf-httpapi-idempotency-key-header."""


class _ConnectionLost(ClientError):
    """The request may have been received. Not of the kinds that aiohttp sends again by itself."""


async def _sent_once(request: ClientRequest, send: ClientHandlerType) -> ClientResponse:
    """Middleware: aiohttp repeats PUT and DELETE when a connection breaks, which a tool with effect `once` forbids."""
    try:
        return await send(request)
    except (ClientConnectorError, ConnectionTimeoutError):
        raise
    except (ClientOSError, ServerDisconnectedError) as error:
        raise _ConnectionLost from error


class HttpRunner:
    """One HTTP tool with connections of its own: another tool, with other allowances, never gets to use them."""

    honours = frozenset({"read_only"})

    def __init__(self, entry: ToolEntry, credentials: Credentials, look: Lookup = lookup) -> None:
        """Raises BadToolsFile."""
        if entry.http is None:
            raise BadToolsFile("settings under `http:` are missing")
        self._entry = entry
        self._settings = entry.http
        self._plan = RequestPlan.of(entry.http, entry.parameters)
        self._credentials = credentials
        self._look = look
        private = frozenset(host.rstrip(".").lower() for host in entry.http.private_hosts)
        _check_settings(entry.http, self._plan.origin, private)
        self._resolver = CheckedResolver(private, look)
        try:
            self._resolver.check(self._plan.origin.host)
        except AddressRefused as refused:
            raise BadToolsFile(str(refused)) from None
        self._redirect_hosts = frozenset(host.rstrip(".").lower() for host in entry.http.redirect_hosts)
        self._session: ClientSession | None = None

    def prepare(self, arguments: Mapping[str, object], key: str = "", bounds: Bounds = FREE) -> Prepared:
        outgoing = self._plan.compose(arguments)
        if bounds.filters or bounds.rows_max:
            raise OutOfBounds("what an HTTP tool answers cannot be held to rows")
        if bounds.read_only and (self._entry.effect != "read" or outgoing.method not in ("GET", "HEAD")):
            raise OutOfBounds("only reading is allowed here, and the request may change something")
        if key and self._entry.effect != "read" and _KEY_HEADER.lower() not in map(str.lower, outgoing.headers):
            # a call whose executor died is made again: the server can tell that it is the same one
            outgoing = replace(outgoing, headers={**outgoing.headers, _KEY_HEADER: key})
        path = normalised(outgoing.url)
        facts: dict[str, Fact] = {
            "hosts": sorted({self._plan.origin.host, *self._redirect_hosts}),
            "method": outgoing.method,
            "methods": [outgoing.method],
            "path": path,
            # where a redirect leads nobody knows before
            "paths": [path, "*"] if self._settings.redirects_max else [path],
            "writes": self._entry.effect != "read",
        }
        return Prepared(facts, partial(self._run, outgoing))

    async def _run(self, outgoing: Outgoing, timeout_s: float) -> ToolResult:
        secrets = self._secrets()
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(outgoing, secrets)
        except (ClientConnectorError, ConnectionTimeoutError):
            return _error(f"could not connect to {self._plan.origin.host}")
        except TimeoutError:
            return self._uncertain(f"no answer within {timeout_s:g} s")
        except AddressRefused as refused:
            raise Failure(Code.DENIED, str(refused)) from None
        except (ClientConnectionError, _ConnectionLost):
            return self._uncertain(f"the connection to {self._plan.origin.host} broke")
        except ClientError:
            return self._uncertain(f"{self._plan.origin.host} did not speak HTTP properly")

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _secrets(self) -> list[str]:
        try:
            return [self._credentials.value(secret.source) for secret in self._settings.credentials]
        except CredentialMissing as missing:
            raise Failure(Code.UNAVAILABLE, f"tool {self._entry.name}: {missing}") from None

    def _uncertain(self, what: str) -> ToolResult:
        if self._entry.effect == "once":
            raise Failure(Code.UNKNOWN_OUTCOME, f"tool {self._entry.name}: {what}, and it may have taken effect")
        return _error(what)

    async def _exchange(self, outgoing: Outgoing, secrets: list[str]) -> ToolResult:
        headers, url = self._with_credentials(outgoing, secrets)
        for _ in range(self._settings.redirects_max + 1):
            response = await self._session_now().request(
                outgoing.method, URL(url, encoded=True), headers=headers, data=outgoing.body, allow_redirects=False
            )
            async with response:
                goal = self._redirect(outgoing.method, response, url)
                if not goal:
                    return await self._result(response, forms(secrets))
            if Origin.of(goal) != self._plan.origin:
                headers = dict(outgoing.headers)
            url = goal
        return _error(f"more than {self._settings.redirects_max} redirects")

    def _with_credentials(self, outgoing: Outgoing, secrets: list[str]) -> tuple[dict[str, str], str]:
        headers, url = dict(outgoing.headers), outgoing.url
        for credential, secret in zip(self._settings.credentials, secrets, strict=True):
            value = credential.prefix + secret
            if credential.place == "header":
                headers[credential.name] = value
            else:
                url += f"{'&' if '?' in url else '?'}{quote(credential.name, safe='')}={quote(value, safe='')}"
        return headers, url

    def _redirect(self, method: str, response: ClientResponse, url: str) -> str:
        """The next address, or empty when this answer is the last."""
        place = response.headers.get("Location", "")
        if (
            not self._settings.redirects_max
            or method not in ("GET", "HEAD")
            or not place
            or response.status // 100 != 3
        ):
            return ""
        goal = urljoin(url, place)
        try:
            origin = Origin.of(goal)
        except ValueError:
            raise AddressRefused("the redirect's goal") from None
        if origin != self._plan.origin and (origin.host not in self._redirect_hosts or origin.scheme != "https"):
            raise AddressRefused(origin.host)
        self._resolver.check(origin.host)
        return str(URL(goal).with_fragment(None))

    async def _result(self, response: ClientResponse, secret_forms: tuple[str, ...]) -> ToolResult:
        limit = self._entry.output_max_bytes
        body = await _read(response, limit + margin(secret_forms) + 1)
        media_type = response.content_type if "Content-Type" in response.headers else ""
        failed = response.status // 100 != 2
        if is_text(media_type, body):
            text = readable(body, response.charset or "", limit, secret_forms)
            content, truncated = text.content, text.truncated
        else:
            content, truncated = f"[{len(body)} bytes or more of {media_type or 'binary data'}, not shown]", bool(body)
        if failed:
            note = " (redirects are not followed)" if response.status // 100 == 3 else ""
            content = f"HTTP {response.status}{note}\n{content}".rstrip()
        return ToolResult(content, failed, truncated, media_type=media_type or "text/plain")

    def _session_now(self) -> ClientSession:
        """Made with the first request, inside the loop that will use it."""
        if self._session is None:
            once = self._entry.effect == "once"
            self._session = ClientSession(
                connector=TCPConnector(
                    limit=self._entry.concurrency_max, resolver=self._resolver, use_dns_cache=False, force_close=once
                ),
                cookie_jar=DummyCookieJar(),
                timeout=ClientTimeout(total=None, sock_connect=10.0),
                headers={"User-Agent": "penstock", "Accept-Encoding": "gzip, deflate"},
                max_line_size=_HEADER_BYTES_MAX,
                max_field_size=_HEADER_BYTES_MAX,
                middlewares=(_sent_once,) if once else (),
                trust_env=False,
            )
        return self._session


def _check_settings(settings: HttpSettings, origin: Origin, private: frozenset[str]) -> None:
    for credential in settings.credentials:
        Credentials.check(credential.source)
    if settings.credentials and origin.scheme != "https" and origin.host not in private:
        raise BadToolsFile("credentials go over https only, or to a host named in private_hosts")


async def _read(response: ClientResponse, limit: int) -> bytes:
    """At most `limit` bytes; a body with more is not read to its end, which may never come."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) >= limit:
            response.close()
            break
    return bytes(body[:limit])


def _error(what: str) -> ToolResult:
    return ToolResult(what, is_error=True)
