"""The token that goes with every call: given, or got for an API key and renewed before it expires."""

import asyncio
import time

from penstock.bus import Bus
from penstock.contracts.governance import TOKEN
from penstock.contracts.ids import new_id
from penstock.contracts.jobs import TokenRequest
from penstock.contracts.meta import Meta

RENEW_AT = 0.75
"""A token is renewed when so much of its life is over."""


class Access:
    """`token()` is what to send now. Holds the API key, which is sent to the policy service alone."""

    def __init__(self, bus: Bus, tenant: str, *, api_key: str = "", token: str = "") -> None:
        self._bus = bus
        self._tenant = tenant
        self._api_key = api_key
        self._token = token
        self._renew_at = 0.0
        self._one_at_a_time = asyncio.Lock()

    @property
    def renewable(self) -> bool:
        """Whether a token that was refused can be replaced."""
        return bool(self._api_key)

    async def token(self) -> str:
        """Raises Failure UNAUTHENTICATED for a key that is not good, UNAVAILABLE when it cannot be asked."""
        if not self._api_key:
            return self._token
        async with self._one_at_a_time:
            if time.time() >= self._renew_at:
                await self._renew()
        return self._token

    def forget(self) -> None:
        """The token was refused: the next call gets a new one."""
        self._renew_at = 0.0

    async def _renew(self) -> None:
        meta = Meta(request=new_id("req"))
        reply = await self._bus.call(TOKEN, TokenRequest(self._api_key), meta, tenant=self._tenant)
        now = time.time()
        self._token = reply.token
        self._renew_at = now + (reply.expires - now) * RENEW_AT
