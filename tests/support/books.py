"""Accounts on a real store, with a ledger in place of the audit stream and a clock that is moved by hand."""

from penstock.kit.store import Store
from services.policy.money.accounts import Accounts
from services.policy.money.holds import Hold, Reserved
from services.policy.money.ledger import Held, Ledger, Recorded, Spent
from services.policy.money.limits import NO_LIMIT, Pot
from tests.support.clock import HandClock

TENANT = Pot("tenant:acme", "", 100, NO_LIMIT)
ALICE = Pot("user:alice", "", 60, 1000)


class Books:
    """Accounts on a store, with a ledger in place of the audit stream."""

    def __init__(self, url: str) -> None:
        self.clock = HandClock()
        self.ledger = Ledger()
        self.folds = 0
        self.store = Store(url, timeout_s=1.0)
        self.accounts = Accounts(
            self.store, self._fold, self.clock, timeout_s=1.0, settled_kept_s=900, unrecorded_s=17.0
        )
        self.sequence = 0

    async def _fold(self, tenant: str) -> Ledger:
        self.folds += 1
        return self.ledger

    async def reserve(
        self,
        attempt: str,
        nano: int,
        *pots: Pot,
        tokens: int = 0,
        due_s: float = 60,
        digest: str = "q",
        actions: int = 0,
    ) -> Reserved:
        """One asking; its stamp differs from those of all others."""
        self.clock.move(0.001)
        now = self.clock.now()
        asked = pots or (TENANT, ALICE)
        told = f'"{attempt}"'.encode()
        hold = Hold(attempt, digest, nano, tokens, now + due_s, asked, told, now, requests=actions, slots=actions)
        return await self.accounts.reserve("acme", hold)

    async def record(
        self, attempt: str, nano: int, *pots: str, tokens: int = 0, due_s: float = 60, actions: int = 0
    ) -> None:
        """The attempt's decision is heard in the audit stream."""
        self.sequence += 1
        now = self.clock.now()
        held = Held(pots or ("tenant:acme", "user:alice"), nano, tokens, now + due_s, actions, actions)
        await self.accounts.recorded("acme", [Recorded(attempt, self.sequence, now, held)])

    async def settle(self, attempt: str, nano: int, tokens: int = 0) -> int:
        return (await self.accounts.settle("acme", [Spent(attempt, nano, tokens)]))[0]

    async def used(self, *pots: str) -> list[tuple[int, int, int, int]]:
        """Committed and held nano-dollars, committed and held tokens, of each pot."""
        found = [one.balance for one in await self.accounts.standings("acme", pots or ("tenant:acme", "user:alice"))]
        return [(one.nano, one.held_nano, one.tokens, one.held_tokens) for one in found]

    async def actions(self, *pots: str) -> list[tuple[int, int, int]]:
        """Committed and held requests, and the slots that are held, of each pot."""
        found = [one.balance for one in await self.accounts.standings("acme", pots)]
        return [(one.requests, one.held_requests, one.held_slots) for one in found]
