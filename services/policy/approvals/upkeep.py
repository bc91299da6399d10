"""What the clock and every change bring about: events are told, approvers reminded, and what nobody answered ends.

Every policy service does it for the whole book, so that what one did not come to, another does. An event's message id
is its approval and type: told twice within the stream's window, it is there once.
"""

from contextlib import aclosing

from msgspec.structs import replace

from penstock.bus import Bus
from penstock.contracts.approvals import Approval, ApprovalEventType
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import APPROVAL_EVENT
from penstock.contracts.meta import Meta
from penstock.kit.clock import Clock
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from services.policy.approvals.life import due, event, reminders_due, untold
from services.policy.approvals.register import Kept, Register


class Upkeep:
    """`watch` runs beside the service."""

    def __init__(
        self, register: Register, bus: Bus, clock: Clock, metrics: Metrics, log: Log, look_every_s: float
    ) -> None:
        self._register = register
        self._bus = bus
        self._clock = clock
        self._metrics = metrics
        self._log = log
        self._look_every_s = look_every_s
        self._looked_at = float("-inf")
        metrics.approvals_waiting.watch(lambda: float(register.waiting()))

    async def watch(self) -> None:
        """For ever."""
        failing = ""
        while True:
            try:
                async with aclosing(self._register.changes(self._look_every_s)) as changes:
                    async for changed in changes:
                        await self._turn(changed)
                        failing = ""
            except Failure as failure:
                if str(failure) != failing:
                    self._log.warning("approvals cannot be watched", why=str(failure))
                failing = str(failure)
            await self._clock.sleep(self._look_every_s)

    async def _turn(self, changed: list[Kept]) -> None:
        monotonic = self._clock.monotonic()
        if monotonic - self._looked_at >= self._look_every_s:
            self._looked_at = monotonic
            changed = self._register.open
        for entry in changed:
            try:
                await self.attend(entry)
            except Failure as failure:
                if failure.code is not Code.CONFLICT:  # else somebody was faster, and it comes again as a change
                    raise

    async def attend(self, entry: Kept) -> None:
        """Whatever is to be done about this one now. Raises Failure; the next turn does it again."""
        now = self._clock.now()
        ended = due(entry.value, now)
        if ended is not None:
            entry = await self._register.change(entry, ended)
        types = untold(entry.value)
        for type in types:
            await self._tell(entry.value.approval, type, type)
        if entry.value.told != entry.value.approval.state:
            entry = await self._register.change(entry, replace(entry.value, told=entry.value.approval.state))
        wanted = reminders_due(entry.value.approval, now)
        if wanted > entry.value.reminded:
            await self._tell(entry.value.approval, "reminder", f"reminder-{wanted}")
            await self._register.change(entry, replace(entry.value, reminded=wanted))
            types.append("reminder")
        for type in types:  # by the one service whose change stood: told by all of them, counted once
            self._metrics.approvals.add(type)

    async def _tell(self, approval: Approval, type: ApprovalEventType, name: str) -> None:
        about = Meta(request=approval.id, tenant=approval.tenant, job=approval.job, step=approval.step)
        await self._bus.emit(
            APPROVAL_EVENT,
            event(approval, type, self._clock.now()),
            about,
            message_id=f"{approval.tenant}-{approval.id}-{name}",
            tenant=approval.tenant,
            approval=approval.id,
        )
