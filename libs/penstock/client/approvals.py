"""Follows approvals: live events wake, calls fetch what there is. Events may be lost; what they are about is not."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from penstock.bus import Message
from penstock.client.follow import Limits, patiently
from penstock.contracts.approvals import Approval, ApprovalPage

PAGE_MAX = 200


class Bell:
    """Rung by every live event, and by a reconnect."""

    def __init__(self) -> None:
        self._wake = asyncio.Event()

    def heard(self, _: Message) -> None:
        self._wake.set()

    def ring(self) -> None:
        self._wake.set()

    async def wait(self, timeout_s: float) -> None:
        """Until it rings, or was rung since the last time; at most `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()


async def follow(
    fetch: Callable[[], Awaitable[ApprovalPage]], bell: Bell, limits: Limits
) -> AsyncGenerator[Approval, None]:
    """The newest approvals, the oldest of them first, then each one as often as it changes. Never ends by itself."""
    seen: dict[str, Approval] = {}
    while True:
        page = await patiently(fetch, limits)
        for approval in reversed(page.approvals):
            if seen.get(approval.id) != approval:
                seen[approval.id] = approval
                yield approval
        kept = {approval.id for approval in page.approvals}
        seen = {id: approval for id, approval in seen.items() if id in kept}
        await bell.wait(limits.silence_s)


async def until_over(fetch: Callable[[], Awaitable[Approval]], bell: Bell, limits: Limits) -> Approval:
    """The approval once it waits no more."""
    while True:
        approval = await patiently(fetch, limits)
        if approval.state != "pending":
            return approval
        await bell.wait(limits.silence_s)
