"""What was revoked: heard of by every service within a second, and asked for every token, remembered or not.

Who cannot hear of revocations any more refuses: what it knows holds for `stale_max_s`, and then no token does.
"""

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from penstock.bus import Bus
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import REVOCATIONS
from penstock.contracts.keys import Revocation
from penstock.kit.clock import Clock

STALE_MAX_S = 30.0
LOOK_EVERY_S = 1.0
"""How often the bucket is read although nothing was heard: what was said while a watch began is not missed."""
KEY = "key."


def txn_name(tenant: str, txn: str) -> str:
    """A transaction's name in the bucket."""
    return f"txn.{tenant}.{txn}"


def run_name(tenant: str, run: str) -> str:
    """A run's name in the bucket: below its tenant, so that nobody's entry takes the place of another's."""
    return f"run.{tenant}.{run}"


class Revocations:
    """Kept by `watch`, which must run; until it has read the bucket once, `load` does."""

    def __init__(self, bus: Bus, clock: Clock, *, stale_max_s: float = STALE_MAX_S) -> None:
        self._bucket = bus.bucket(REVOCATIONS)
        self._clock = clock
        self._stale_max_s = stale_max_s
        self._revoked: dict[str, tuple[float, Revocation]] = {}
        self._known_at = float("-inf")
        self._loading = asyncio.Lock()

    @property
    def stale(self) -> bool:
        """Whether nothing was heard for too long to be believed."""
        return asyncio.get_running_loop().time() - self._known_at > self._stale_max_s

    def since(self, name: str, tenant: str) -> float | None:
        """From when (Unix seconds, 0: at once) this name of this tenant is revoked; None: it is not."""
        found = self._revoked.get(name)
        return found[1].since if found is not None and found[1].tenant == tenant else None

    def refused(self, names: tuple[str, ...], tenant: str) -> bool:
        """Whether one of these is revoked by now. Raises Failure(UNAVAILABLE) when nobody can say."""
        if self.stale:
            why = "it cannot be seen what was revoked: no token is believed"
            raise Failure(Code.UNAVAILABLE, why, retry_after_s=1.0)
        if not self._revoked:
            return False
        now = self._clock.now()
        return any((since := self.since(name, tenant)) is not None and since <= now for name in names)

    async def loaded(self) -> None:
        """Returns when the bucket was read at least once. Raises Failure(UNAVAILABLE)."""
        if self._known_at == float("-inf"):
            async with self._loading:
                if self._known_at == float("-inf"):
                    await self.load()

    async def load(self) -> None:
        """Reads the whole bucket. Raises Failure."""
        asked = asyncio.get_running_loop().time()
        for entry in await self._bucket.entries():
            self._revoked[entry.key] = (entry.time, entry.value)
        self._known_at = max(self._known_at, asked)

    async def watch(self, changed: Callable[[], None] = lambda: None) -> None:
        """For ever; `changed` is called after what is new is in force. Raises Failure when the broker is away."""
        asked = asyncio.get_running_loop().time()
        async with aclosing(self._bucket.watch(poll_s=LOOK_EVERY_S)) as watching:
            async for page in watching:
                for name, entry in page.items():
                    if entry is not None:  # what was revoked once stays so here
                        self._revoked[name] = (entry.time, entry.value)
                self._known_at = max(self._known_at, asked)
                if page:
                    changed()
                else:
                    self._forget()
                asked = asyncio.get_running_loop().time()

    def _forget(self) -> None:
        """What the bucket does not keep any more."""
        until = self._clock.now() - REVOCATIONS.ttl_s
        for name in [name for name, (written, _) in self._revoked.items() if written < until]:
            del self._revoked[name]
