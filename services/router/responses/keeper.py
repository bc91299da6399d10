"""Stateful Responses around a completion: what a request continues is put before it, what was answered is kept."""

import msgspec

from penstock.contracts.errors import Failure
from penstock.kit.log import Log
from services.router.protocols.openai_responses.body import ResponsesBody
from services.router.protocols.protocol import Body
from services.router.responses.state import ResponsesState
from services.router.sse import SseParser
from services.router.streams.relay import Out

LAST_EVENTS = (b'"response.completed"', b'"response.incomplete"')


class _Last(msgspec.Struct):
    type: str
    response: msgspec.Raw = msgspec.Raw(b"null")


class Owner(msgspec.Struct, frozen=True):
    """Whose conversation it is."""

    tenant: str
    subject: str


class Keeper:
    """Without a `state` nothing is kept, and a request that continues something is refused."""

    def __init__(self, state: ResponsesState | None, log: Log) -> None:
        self._state = state
        self._log = log

    async def opened(self, owner: Owner, body: Body) -> ResponsesBody | None:
        """The request with all it refers to; None where the protocol has no state. Raises Failure(NOT_FOUND)."""
        if not isinstance(body, ResponsesBody):
            return None
        if self._state is None or not (body.previous or body.references or body.stores):
            return body
        return await self._state.continued(owner.tenant, owner.subject, body)

    async def keep(self, owner: Owner, body: ResponsesBody | None, response: bytes, endpoint: str) -> None:
        """Before the caller has the whole answer, so that it may continue at once. A lost store loses the continuation
        and not the answer: that is said in the log."""
        if body is None or self._state is None or not body.stores:
            return
        try:
            await self._state.save(owner.tenant, owner.subject, body, response, endpoint)
        except Failure as failure:
            self._log.warning("a response is not kept", why=str(failure))


class Keeping:
    """Passes frames on, and keeps the response before its last event goes out."""

    __slots__ = ("_body", "_endpoint", "_keeper", "_out", "_owner")

    def __init__(self, out: Out, keeper: Keeper, owner: Owner, body: ResponsesBody, endpoint: str) -> None:
        self._out = out
        self._keeper = keeper
        self._owner = owner
        self._body = body
        self._endpoint = endpoint

    async def send(self, data: bytes) -> None:
        if any(name in data for name in LAST_EVENTS):
            response = _response_in(data)
            if response is not None:
                await self._keeper.keep(self._owner, self._body, response, self._endpoint)
        await self._out.send(data)


def _response_in(frame: bytes) -> bytes | None:
    """The response of the last event, where the frame holds that. A frame is whole events."""
    parser = SseParser(len(frame) + 1)
    for event in (*parser.feed(frame), *parser.finish()):
        if event.data is None or not any(name in event.data for name in LAST_EVENTS):
            continue
        last = msgspec.json.decode(event.data, type=_Last)
        if f'"{last.type}"'.encode() in LAST_EVENTS:
            return bytes(last.response)
    return None
