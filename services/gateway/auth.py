"""Who asks: an API key to a transaction token, remembered for a short while under the key's digest."""

import asyncio
import hashlib
from collections import OrderedDict

from starlette.requests import HTTPConnection

from penstock.bus import Bus
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import POLICY_AUTHENTICATE
from penstock.contracts.keys import scheme_of
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Authenticate, Identity
from penstock.kit.clock import Clock
from penstock.kit.identity import Identities

CREDENTIAL_MAX_CHARACTERS = 8192
EXPIRY_MARGIN_S = 30.0
"""A token is not handed on when it may run out under way."""


def credential_of(request: HTTPConnection) -> str:
    """The key, wherever this kind of client puts it. Raises Failure(UNAUTHENTICATED) when there is none, or when two
    places hold different ones: which of them counts would be a guess.

    OpenAI and newer Anthropic clients send `Authorization: Bearer`, older Anthropic `x-api-key`, Gemini
    `x-goog-api-key` or `?key=`.
    """
    headers = request.headers
    bearers = [value[7:] for value in headers.getlist("authorization") if value[:7].lower() == "bearer "]
    named = [*headers.getlist("x-api-key"), *headers.getlist("x-goog-api-key"), *request.query_params.getlist("key")]
    found = {value.strip() for value in (*bearers, *named)} - {""}
    if not found:
        raise Failure(
            Code.UNAUTHENTICATED,
            "an API key is required: Authorization: Bearer <key>, x-api-key: <key> or x-goog-api-key: <key>",
        )
    if len(found) > 1:
        raise Failure(Code.UNAUTHENTICATED, "there are two different API keys in this request: send one")
    credential = found.pop()
    if len(credential) > CREDENTIAL_MAX_CHARACTERS:
        raise Failure(Code.UNAUTHENTICATED, "the API key is not valid")
    return credential


class Authenticator:
    """Asks policy, one question at a time for one key, and remembers the answer for `cache_s`, or until its token is
    revoked."""

    def __init__(self, bus: Bus, identities: Identities, clock: Clock, cache_s: float, cache_max: int) -> None:
        self._bus = bus
        self._identities = identities
        self._clock = clock
        self._cache_s = cache_s
        self._cache_max = cache_max
        self._known: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()
        self._asking: dict[bytes, asyncio.Task[Identity]] = {}

    async def identify(self, credential: str, request: str) -> Identity:
        """Raises Failure(UNAUTHENTICATED), or UNAVAILABLE when policy cannot be asked."""
        digest = hashlib.sha256(credential.encode()).digest()
        known = self._known.get(digest)
        if known is not None and known[0] > self._clock.now() and await self._good(known[1]):
            if digest in self._known:  # others may have pushed it out meanwhile
                self._known.move_to_end(digest)
            return known[1]
        asking = self._asking.get(digest)
        if asking is None:
            asking = asyncio.create_task(self._ask(credential, request, digest))
            self._asking[digest] = asking
            asking.add_done_callback(lambda asked: self._asked(digest, asked))
        # one client that leaves must not end the question for the others
        return await asyncio.shield(asking)

    async def _good(self, identity: Identity) -> bool:
        """Whether its token is still believed. Raises Failure(UNAVAILABLE) when nobody can say."""
        try:
            await self._identities.verify(identity.token)
        except Failure as failure:
            if failure.code is not Code.UNAUTHENTICATED:
                raise
            return False
        return True

    def _asked(self, digest: bytes, asked: asyncio.Task[Identity]) -> None:
        del self._asking[digest]
        if not asked.cancelled():
            asked.exception()  # whoever wanted to know may have left

    async def _ask(self, credential: str, request: str, digest: bytes) -> Identity:
        asked = Authenticate(credential, scheme_of(credential))
        identity = await self._bus.call(POLICY_AUTHENTICATE, asked, Meta(request=request))
        until = min(self._clock.now() + self._cache_s, identity.expires - EXPIRY_MARGIN_S)
        self._known[digest] = (until, identity)
        while len(self._known) > self._cache_max:
            self._known.popitem(last=False)
        return identity
