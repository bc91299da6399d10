"""Connections to model servers: one pool for all, kept for as long as the process lives."""

import io
from collections.abc import Mapping
from contextvars import ContextVar

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest
from aiohttp.tracing import Trace
from yarl import URL

from services.router.fault import Fault, FaultKind

IN_ONE_PIECE_BYTES = 512 * 1024
READ_AHEAD_BYTES = 64 * 1024
"""How much of an answer is held for a reader that is slower than the provider; then the socket is not read."""
ERROR_MAX_BYTES = 16 * 1024
RESENDS_MAX = 3


class Exchange:
    """One answer, as it comes. `close` hangs up at once unless the answer was read to its end."""

    __slots__ = ("_response", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status

    def header(self, name: str) -> str:
        """A header of the answer; empty when it is not there."""
        return self._response.headers.get(name, "")

    async def read(self) -> bytes:
        """What came since the last read, waiting for at least a byte; empty at the end. Raises Fault."""
        try:
            return await self._response.content.readany()
        except aiohttp.ClientError as error:
            raise _broken(error) from None

    async def read_all(self, max_bytes: int) -> bytes:
        """The rest of the answer. Raises Fault when it is larger, or cut short."""
        pieces: list[bytes] = []
        size = 0
        while piece := await self.read():
            size += len(piece)
            if size > max_bytes:
                raise Fault(FaultKind.GARBAGE, f"the provider's answer is larger than {max_bytes} bytes", sent=True)
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def read_some(self, max_bytes: int = ERROR_MAX_BYTES) -> bytes:
        """The answer's beginning, cut at the limit; for error bodies."""
        pieces: list[bytes] = []
        size = 0
        while size < max_bytes and (piece := await self.read()):
            size += len(piece)
            pieces.append(piece)
        return b"".join(pieces)[:max_bytes]

    def __aiter__(self) -> "Exchange":
        return self

    async def __anext__(self) -> bytes:
        # `read`, written out: a stream comes this way for every frame
        try:
            piece = await self._response.content.readany()
        except aiohttp.ClientError as error:
            raise _broken(error) from None
        if piece:
            return piece
        raise StopAsyncIteration

    def close(self) -> None:
        """Gives the connection back, or closes it when the provider has not finished."""
        self._response.close()


class _Trail:
    """What became of one request: whether a kept connection carried it."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        self.kept = True


_trail: ContextVar[_Trail] = ContextVar("trail")
"""Of the request that this task is sending."""


class _Connector(aiohttp.TCPConnector):
    """Says which request needed a new connection. aiohttp's tracing would tell too, and costs more than the rest of
    what is done here for a request."""

    async def _create_connection(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        _trail.get().kept = False
        return await super()._create_connection(req, traces, timeout)


class Http:
    """The only way out. Never follows a redirect, keeps no cookies, asks for no compression."""

    def __init__(self, *, connect_timeout_s: float, keep_alive_s: float) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._keep_alive_s = keep_alive_s
        self._session: aiohttp.ClientSession | None = None

    async def post(self, url: URL, headers: Mapping[str, str], body: bytes) -> Exchange:
        """Sends, and waits for the answer's headers. Raises Fault. The caller closes what it gets.

        A kept connection that the provider closes instead of answering had most likely been closed before (some do so
        after each stream, some after seconds): the request is sent again, until a new connection has had it.
        """
        session = self._session
        if session is None:
            session = self._session = self._open()
        for resends in range(RESENDS_MAX + 1):
            trail = _Trail()
            _trail.set(trail)
            # aiohttp sends a file in pieces, which keeps the loop free while a body with images goes out
            data = body if len(body) <= IN_ONE_PIECE_BYTES else io.BytesIO(body)
            try:
                response = await session.post(url, headers=headers, data=data, allow_redirects=False)
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
                if not trail.kept or resends == RESENDS_MAX:
                    raise _broken(error) from None
            except aiohttp.ClientError as error:
                raise _broken(error) from None
            else:
                return Exchange(response)
        raise AssertionError("the last try returns or raises")

    async def close(self) -> None:
        """Closes every connection."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        # aiohttp sets TCP_NODELAY on every connection.
        connector = _Connector(limit=0, keepalive_timeout=self._keep_alive_s, ttl_dns_cache=30)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_s),
            read_bufsize=READ_AHEAD_BYTES,
            headers={"Accept-Encoding": "identity", "User-Agent": "penstock", "Content-Type": "application/json"},
            skip_auto_headers=("Accept",),
        )


def _broken(error: aiohttp.ClientError) -> Fault:
    """Only the kind of error is told: its text may hold addresses."""
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return Fault(FaultKind.TRANSIENT, "the provider cannot be reached")
    if isinstance(error, aiohttp.ClientResponseError):
        return Fault(FaultKind.GARBAGE, "the provider's answer is not HTTP", sent=True)
    if isinstance(error, aiohttp.ClientPayloadError):
        return Fault(FaultKind.TRANSIENT, "the provider's answer was cut short", sent=True)
    return Fault(FaultKind.TRANSIENT, "the connection to the provider broke", sent=True)
