"""Whose turn it is to probe a deployment: one replica's at a time, by a lease in the store that ends by itself."""

from penstock.contracts.errors import Failure
from penstock.kit.store import Store

KEY = "penstock:router:probe:"


class ProbeTurns:
    """Without a store, or when it is lost, every router takes every turn: too many probes are better than none."""

    def __init__(self, store: Store | None, name: str) -> None:
        """`name` tells this router from the others, for whoever looks into the store."""
        self._store = store
        self._name = name

    async def take(self, what: str, hold_s: float) -> bool:
        """Whether it is ours. After `hold_s` it is anybody's again."""
        if self._store is None:
            return True
        try:
            answer = await self._store.do("SET", KEY + what, self._name, "NX", "PX", max(int(hold_s * 1000), 1))
        except Failure:
            return True
        return bool(answer)

    async def done(self, what: str, left_s: float) -> None:
        """Nobody else's for so much longer; 0: anybody's at once."""
        if self._store is None:
            return
        try:
            await self._store.do("PEXPIRE", KEY + what, max(int(left_s * 1000), 0))
        except Failure:
            return
