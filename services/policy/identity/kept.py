"""Keys that were made through the plane: read and written by policy alone, known to every replica within moments."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from penstock.bus import Bus
from penstock.bus.bucket import Entry
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import API_KEYS, REVOCATIONS
from penstock.contracts.keys import KeptKey, Revocation
from penstock.kit.log import Log
from penstock.kit.revocations import KEY, Revocations
from services.policy.identity.keyring import Keys
from services.policy.identity.keys import ApiKey, KeyRefused
from services.policy.identity.made import kept

TRIES = 5
"""Of a change that others change under its hands."""
WATCH_AGAIN_S = 1.0


class KeptKeys:
    """What it writes is in force here when it returns, and elsewhere when the watch there hears of it."""

    def __init__(self, bus: Bus, keys: Keys, revocations: Revocations, log: Log) -> None:
        self._bucket = bus.bucket(API_KEYS)
        self._revoked = bus.bucket(REVOCATIONS)
        self._revocations = revocations
        self._keys = keys
        self._log = log

    async def load(self) -> None:
        """Raises Failure while the bucket cannot be read."""
        for entry in await self._bucket.entries():
            self._take(entry)

    async def watch(self) -> None:
        """For ever."""
        while True:
            try:
                async with aclosing(self._bucket.watch()) as watching:
                    async for page in watching:
                        for entry in page.values():
                            if entry is not None:
                                self._take(entry)
            except Failure as failure:
                self._log.warning("keys cannot be watched", why=str(failure))
            await asyncio.sleep(WATCH_AGAIN_S)

    async def create(self, key: ApiKey) -> ApiKey:
        """Stores it; the same digest again is the key that there is. Raises Failure(CONFLICT)."""
        if self._keys.get(key.id) is None:
            try:
                await self._bucket.create(key.id, kept(key))
                self._keys.put(kept(key))
                return key
            except Failure as failure:
                if failure.code is not Code.CONFLICT:
                    raise
                await self.load()
        there = self._keys.get(key.id)
        if there is None or there.digest != key.digest or there.tenant != key.tenant or there.revoked:
            raise Failure(Code.CONFLICT, "a key with this id was there before: make another secret", param="digest")
        return there

    async def change(self, key: ApiKey, change: Callable[[KeptKey], KeptKey]) -> None:
        """Of a key of the file only its end is kept. Raises Failure(CONFLICT) when others change it all the time."""
        for _ in range(TRIES):
            entry = await self._bucket.get(key.id, fresh=True)
            changed = change(entry.value if entry is not None else KeptKey(key.id, key.tenant))
            try:
                if entry is None:
                    await self._bucket.create(key.id, changed)
                else:
                    await self._bucket.update(key.id, changed, entry.revision)
            except Failure as failure:
                if failure.code is not Code.CONFLICT:
                    raise
                continue
            self._keys.put(changed)
            return
        raise Failure(Code.CONFLICT, "the key is being changed: try again")

    async def end(self, key: ApiKey, by: str, reason: str = "", since: float = 0.0) -> None:
        """Refuses every token that came from the key, in every service. A sooner end that is known stays."""
        known = self._revocations.since(KEY + key.id, key.tenant)
        if known is None or since < known:
            await self._revoked.put(KEY + key.id, Revocation(key.tenant, since, by, reason))

    def _take(self, entry: Entry[KeptKey]) -> None:
        try:
            self._keys.put(entry.value)
        except (KeyRefused, Failure) as refused:
            self._log.error("a key that cannot be used was passed over", key=entry.key, why=str(refused))
