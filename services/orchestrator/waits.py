"""What the steps of one run wait for that people must approve: who waits, and whether anything goes on beside."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from penstock.contracts.approvals import ApprovalEvent
from penstock.contracts.errors import Code, Failure
from services.orchestrator.fold import RunState

_events = msgspec.json.Decoder(ApprovalEvent)


class Waits:
    """`working` is around every step, `answered` inside of it while it waits."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._bells: dict[str, asyncio.Event] = {}
        self._working = 0
        self._waiting = 0
        self._still = asyncio.Event()
        self._moved = asyncio.Event()

    def refusal(self, step: str) -> Failure | None:
        """What the step ends with, if people were asked about it and did not approve."""
        held = self._state.held.get(step)
        taken = self._state.answers.get(held.approval) if held is not None else None
        if held is None or taken is None:
            return None
        why = _why_not(taken.body)
        if not why:
            return None
        return Failure(Code.DENIED, why, decision=held.decision, reasons=(why,), approval=held.approval)

    def ring(self, approval: str) -> None:
        """The answer to this approval stands in the journal."""
        self._bell(approval).set()

    async def answered(self, approval: str) -> None:
        """Returns when the answer stands in the journal. Inside `working`, as which it does not count."""
        if approval in self._state.answers:
            return
        self._count(-1, +1)
        try:
            await self._bell(approval).wait()
        finally:
            self._count(+1, -1)

    @contextmanager
    def working(self) -> Iterator[None]:
        """A step is under way."""
        self._count(+1, 0)
        try:
            yield
        finally:
            self._count(-1, 0)

    async def quiet(self, for_s: float) -> None:
        """Returns once everything that is under way has waited for people for so long."""
        while True:
            await self._still.wait()
            try:
                async with asyncio.timeout(for_s):
                    await self._moved.wait()
            except TimeoutError:
                return

    def _bell(self, approval: str) -> asyncio.Event:
        return self._bells.setdefault(approval, asyncio.Event())

    def _count(self, working: int, waiting: int) -> None:
        self._working += working
        self._waiting += waiting
        if self._waiting and not self._working:
            self._moved.clear()
            self._still.set()
        else:
            self._still.clear()
            self._moved.set()


def _why_not(body: msgspec.Raw) -> str:
    """Empty for an approval."""
    try:
        event = _events.decode(body)
    except msgspec.DecodeError:
        return "what was answered cannot be read"
    match event.type:
        case "approved":
            return ""
        case "denied":
            return f"{event.by[-1] if event.by else 'somebody'} said no{f': {event.reason}' if event.reason else ''}"
        case _:
            return "nobody approved it in time"
