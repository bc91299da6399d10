"""What ends a key of the operator's file ends its tokens everywhere."""

from collections.abc import Callable

from penstock.contracts.governance import REVOCATIONS
from penstock.kit.clock import Clock
from services.policy.identity.kept import KeptKeys
from services.policy.identity.keys import ApiKey, KeyRing

WHO = "operator"


class FileWatch:
    """Compares the file with what it was. `tell` is called again and again."""

    def __init__(self, file: Callable[[], KeyRing], kept: KeptKeys, clock: Clock) -> None:
        self._file = file
        self._kept = kept
        self._clock = clock
        self._seen = KeyRing()
        self._said: dict[str, float] = {}

    async def tell(self) -> None:
        """Says of every key that was revoked that its tokens are good no more, and of one that was to end later, when
        it ends. A key that is gone may be back in a moment: policy decides nothing for it meanwhile, and that is all.
        Raises Failure; then the next call says it.
        """
        now = self._file()
        if now is self._seen:
            return
        for before in self._seen.keys:
            after = now.get(before.id)
            if after is not None and after.expires and (not before.expires or after.expires < before.expires):
                await self._say(after, after.expires)
        for key in now.keys:
            if key.revoked > self._clock.now() - REVOCATIONS.ttl_s:
                await self._say(key, 0.0)
        self._seen = now

    async def _say(self, key: ApiKey, since: float) -> None:
        if self._said.get(key.id) == since:
            return
        await self._kept.end(key, WHO, "", since)
        self._said[key.id] = since
