"""Hears what people answered, and makes it an input of the run that waits for it."""

import msgspec

from penstock.bus import Bus, Stored
from penstock.contracts.approvals import ANSWERED, ApprovalEvent
from penstock.contracts.governance import APPROVAL_EVENT
from penstock.contracts.ids import is_token, partition
from penstock.contracts.meta import Meta
from penstock.contracts.runs import RunInput
from penstock.contracts.subjects import RUN_INPUT
from services.orchestrator.fold import APPROVAL


class Answers:
    """Heard at least once; an input is stored once, whoever hears it."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def heard(self, events: list[Stored[ApprovalEvent]]) -> None:
        """Raises Failure when an input cannot be stored: the same events come again."""
        for stored in events:
            event = stored.body
            if event.type in ANSWERED and is_token(event.run) and is_token(event.approval):
                await self._wake(event, APPROVAL_EVENT.subject.parse(stored.subject)["tenant"])

    async def _wake(self, event: ApprovalEvent, tenant: str) -> None:
        run, id = event.run, event.approval
        body = msgspec.Raw(msgspec.json.encode(event))
        input = RunInput(run, APPROVAL, id, by=event.by[-1] if event.by else "", body=body)
        about = Meta(request=event.job, tenant=tenant, job=event.job)
        where = {"partition": partition(run), "run": run, "kind": APPROVAL, "id": id}
        await self._bus.assign(RUN_INPUT, input, about, first=True, **where)
