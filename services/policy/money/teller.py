"""Tells of limits that are nearly or wholly reached: a record in the audit stream, a line in the log, a count.

Once for each pot, limit and threshold, however many policy services there are: the store notes it once (pots.lua), all
who tell it give the record one message id, which the stream takes once, and one of them alone takes the note away.
"""

from penstock.bus import Bus
from penstock.contracts.audit import Batch, Record
from penstock.contracts.governance import AUDIT_BATCH
from penstock.contracts.meta import Meta
from penstock.contracts.services import POLICY
from penstock.kit.clock import Clock
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.recorder import rfc3339
from services.policy.money.accounts import Accounts
from services.policy.money.alert import ALERT, Alert, alert_id, data, in_words

APPEND_S = 5.0


class Teller:
    """Raises Failure when the store or the stream is away: what is noted is told later."""

    def __init__(self, accounts: Accounts, bus: Bus, clock: Clock, metrics: Metrics, log: Log) -> None:
        self._accounts = accounts
        self._bus = bus
        self._clock = clock
        self._metrics = metrics
        self._log = log

    async def tell(self) -> None:
        """All that was noted until now."""
        for tenant, alert in await self._accounts.alerts():
            await self._record(tenant, alert)
            if await self._accounts.told(tenant, alert):
                self._metrics.account_alerts.add(alert.measure, str(alert.percent))
                self._log.warning("a limit is near", tenant=tenant, account=alert.pot, what=in_words(alert))

    async def _record(self, tenant: str, alert: Alert) -> None:
        now, id = self._clock.now(), alert_id(tenant, alert)
        record = Record(
            id=id, source=POLICY, type=ALERT, time=rfc3339(now), tenant=tenant, data=data(alert), subject=alert.pot
        )
        soon = Meta(deadline=now + APPEND_S)
        await self._bus.emit(AUDIT_BATCH, Batch([record]), soon, message_id=id, tenant=tenant, service=POLICY)
