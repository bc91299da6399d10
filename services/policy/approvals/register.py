"""The book of approvals: a bucket with compare-and-set.

The approval of a thing stands under the thing's digest, so that the same question finds it; when the thing is asked for
anew, the one before moves under its own id.
"""

from collections.abc import AsyncGenerator, Mapping

from penstock.bus import Bus
from penstock.bus.bucket import Entry
from penstock.contracts.approvals import Approval, KeptApproval
from penstock.contracts.governance import APPROVALS
from penstock.kit.clock import Clock
from services.policy.approvals.life import OPEN, digest_in, due, untold

Kept = Entry[KeptApproval]


class Register:
    """Raises what the bucket does: CONFLICT when somebody was faster, UNAVAILABLE."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bucket = bus.bucket(APPROVALS)
        self._clock = clock
        self._open: dict[str, Kept] = {}

    @property
    def open(self) -> list[Kept]:
        """Those that something is still to be done about, as far as this process has heard."""
        return list(self._open.values())

    def waiting(self, tenant: str = "") -> int:
        """How many wait for an answer, of this tenant or of all."""
        approvals = [one.value.approval for one in self.open]
        return sum(one.state == "pending" and tenant in ("", one.tenant) for one in approvals)

    async def current(self, tenant: str, digest: str) -> Kept | None:
        """The last approval of this thing, as it stands."""
        return await self._bucket.get(f"{tenant}.{digest}", fresh=True)

    async def find(self, tenant: str, id: str) -> Kept | None:
        """One approval of this tenant."""
        digest = digest_in(id)
        if not digest:
            return None
        entry = await self.current(tenant, digest)
        if entry is None or entry.value.approval.id == id:
            return entry
        return await self._bucket.get(f"{tenant}.{id}", fresh=True)

    async def all(self, tenant: str) -> list[Approval]:
        """Every approval of this tenant that is kept."""
        return [entry.value.approval for entry in await self._bucket.entries(tenant)]

    async def begin(self, before: Kept | None, kept: KeptApproval) -> Kept:
        """A new approval in the place of the one `before`."""
        key = f"{kept.approval.tenant}.{kept.approval.digest}"
        if before is None:
            revision = await self._bucket.create(key, kept)
        else:
            old = due(before.value, self._clock.now()) or before.value
            await self._bucket.put(f"{old.approval.tenant}.{old.approval.id}", old)
            revision = await self._bucket.update(key, kept, before.revision)
        return self._noted(key, kept, revision)

    async def change(self, entry: Kept, kept: KeptApproval) -> Kept:
        """What comes after `entry`."""
        return self._noted(entry.key, kept, await self._bucket.update(entry.key, kept, entry.revision))

    async def changes(self, every_s: float) -> AsyncGenerator[list[Kept], None]:
        """Every approval, then each that changes; an empty list at least every so often. Close it (`aclosing`)."""
        watching = self._bucket.watch(poll_s=every_s)
        try:
            async for page in watching:
                yield self._heard(page)
        finally:
            await watching.aclose()

    def _heard(self, page: Mapping[str, Kept | None]) -> list[Kept]:
        for key, entry in page.items():
            if entry is None:
                self._open.pop(key, None)
            else:
                self._note(entry)
        return [entry for entry in page.values() if entry is not None]

    def _noted(self, key: str, kept: KeptApproval, revision: int) -> Kept:
        entry = Entry(key, kept, revision, self._clock.now())
        self._note(entry)
        return entry

    def _note(self, entry: Kept) -> None:
        known = self._open.get(entry.key)
        if known is not None and known.revision > entry.revision:
            return
        if entry.value.approval.state in OPEN or untold(entry.value):
            self._open[entry.key] = entry
        else:
            self._open.pop(entry.key, None)
