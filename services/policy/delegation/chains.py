"""The book of delegations: every link that was made, and the end of those that are revoked."""

import asyncio

from penstock.bus import Bus
from penstock.contracts.delegation import Link
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import CHAINS, REVOCATIONS
from penstock.contracts.ids import run_id
from penstock.contracts.keys import Revocation
from penstock.kit.identity import Claims
from penstock.kit.revocations import run_name

TOOLS_MAX = 64


class Chains:
    """Raises what a bucket does: UNAVAILABLE while it cannot be read or written."""

    def __init__(self, bus: Bus) -> None:
        self._bucket = bus.bucket(CHAINS)
        self._revoked = bus.bucket(REVOCATIONS)

    async def keep(self, link: Link) -> None:
        """The same run asked for again is the same link, as it was given last."""
        await self._bucket.put(f"{link.tenant}.{link.run}.{link.txn}", link)

    async def of_run(self, tenant: str, run: str) -> list[Link]:
        """Every link of this run, or of this job's run, the last last: there are several where it was asked for again,
        or by two people at once, of whom one got it."""
        for id in (run, run_id(tenant, run)):
            found = await self._bucket.page(f"{tenant}.{id}.*")
            if found:
                return [entry.value for entry in found]
        return []

    async def above(self, link: Link) -> list[Link]:
        """Those above it that are kept, the outermost first."""
        found = await asyncio.gather(*(self._link(link, run) for run in link.lineage if run != link.run))
        return [one for one in found if one is not None]

    async def of_txn(self, tenant: str, txn: str, after: int, limit: int) -> tuple[list[Link], int]:
        """A page of a transaction's links, the oldest first, and where the next begins (0: there is none)."""
        found = await self._bucket.page(f"{tenant}.*.{txn}", after=after, limit=limit)
        return [entry.value for entry in found], found[-1].revision if len(found) == limit else 0

    async def revoke(self, link: Link, by: str, reason: str) -> None:
        """Ends the run and all below it. What was revoked before stays as it was."""
        try:
            await self._revoked.create(run_name(link.tenant, link.run), Revocation(link.tenant, 0.0, by, reason))
        except Failure as failure:
            if failure.code is not Code.CONFLICT:
                raise

    async def _link(self, below: Link, run: str) -> Link | None:
        entry = await self._bucket.get(f"{below.tenant}.{run}.{below.txn}")
        return None if entry is None else entry.value


def link_of(child: Claims, carved: tuple[int, int], decision: str) -> Link:
    """What is kept of a child's claims. `carved`: nano-dollars and tokens of its own account."""
    return Link(
        tenant=child.tenant,
        txn=child.txn,
        run=child.run,
        origin=child.sub,
        actor=child.chain[-1],
        chain=child.chain,
        lineage=child.lineage,
        scopes=child.scopes,
        tools=child.tools[:TOOLS_MAX],
        nano=carved[0],
        tokens=carved[1],
        made=child.iat,
        expires=child.exp,
        key=child.key,
        decision=decision,
    )


def revocable(link: Link) -> tuple[str, ...]:
    """As Claims.revocable: any of these ends it."""
    return Claims(
        link.tenant, link.origin, link.expires, txn=link.txn, run=link.run, key=link.key, lineage=link.lineage
    ).revocable()
