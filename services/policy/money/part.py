"""The money of the policy service, put together: accounts in the store, what settles them, what is asked about them."""

from collections.abc import Sequence

from penstock.contracts.governance import (
    ACCOUNT_STATEMENT,
    ACCOUNTS,
    AUDIT_BATCH,
    POLICY_BALANCES,
    SETTLE_SINK,
)
from penstock.kit.service import Background, Endpoint, Parts, answer, listen
from penstock.kit.store import Store
from services.policy.admin import Admin
from services.policy.config import Config
from services.policy.money.accounts import Accounts
from services.policy.money.handlers import AccountHandlers
from services.policy.money.heard import Heard
from services.policy.money.rebuild import Rebuilder
from services.policy.money.settle import Settler
from services.policy.money.teller import Teller
from services.policy.rulebook import Rulebook
from services.policy.upkeep import Every


class Money:
    """Close it at the end."""

    def __init__(self, config: Config, parts: Parts) -> None:
        self._config = config
        self._parts = parts
        self._store = Store(config.store_url.reveal(), timeout_s=config.store_timeout_s)
        self._rebuilder = Rebuilder(parts.bus, config.rebuild_page_max)
        self.accounts = Accounts(
            self._store,
            self._rebuilder.ledger_of,
            parts.clock,
            timeout_s=config.store_timeout_s,
            settled_kept_s=config.settled_kept_s,
            unrecorded_s=config.unrecorded_s,
            alert_percents=config.alert_percents,
        )
        parts.readiness.add("store", self.accounts.check)
        self._settler = Settler(self.accounts, Heard(parts.bus, parts.clock), parts.metrics, parts.log)

    def endpoints(self, rules: Rulebook, admin: Admin) -> Sequence[Endpoint]:
        """What can be asked about accounts, and the ear at the audit stream."""
        parts = self._parts
        handlers = AccountHandlers(rules, self.accounts, self._rebuilder, admin, parts.identities, parts.clock)
        few = self._config.calls_in_flight_max
        return (
            answer(POLICY_BALANCES, handlers.balances, in_flight_max=few),
            answer(ACCOUNTS, handlers.accounts, in_flight_max=few),
            answer(ACCOUNT_STATEMENT, handlers.statement, in_flight_max=self._config.statements_in_flight_max),
            listen(AUDIT_BATCH, SETTLE_SINK, self._settler.heard),
        )

    def background(self) -> Sequence[Background]:
        """What happens by the clock."""
        config, parts = self._config, self._parts
        teller = Teller(self.accounts, parts.bus, parts.clock, parts.metrics, parts.log)
        return (
            Every("leases", config.expire_every_s, self._settler.expire, parts.clock, parts.log).run,
            Every("alerts", config.alert_every_s, teller.tell, parts.clock, parts.log).run,
        )

    async def close(self) -> None:
        await self._store.close()
