"""Copies of requests for deployments on trial: asked, decided, recorded and settled as any attempt, and never answered.

What a copy costs is the caller's, as with every attempt; it is asked for under the same alias.
"""

import asyncio
from collections.abc import Awaitable, Callable

from penstock.contracts.errors import Code, Failure
from services.router.attempts.attempt import Attempt, Wanted
from services.router.attempts.course import Means, count
from services.router.choosing.request import Need
from services.router.choosing.standing import UNSEEN, usable_keys
from services.router.models.deployment import Deployment

Work = Callable[[Attempt], Awaitable[object]]


class Shadows:
    """The copies under way, at most `most`; above that requests go uncopied."""

    def __init__(self, means: Means, most: int) -> None:
        self._means = means
        self._most = most
        self._running: set[asyncio.Task[None]] = set()

    def cast(
        self, deployments: tuple[Deployment, ...], need: Need, wanted: Wanted, work: Work
    ) -> list[asyncio.Task[None]]:
        """Begins a copy for each. Whoever stops the request cancels what is returned."""
        begun = []
        for deployment in deployments:
            if len(self._running) >= self._most:
                break
            task = asyncio.create_task(self._copy(deployment, need, wanted, work))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            begun.append(task)
        return begun

    async def close(self) -> None:
        """Stops them all; each is settled."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _copy(self, deployment: Deployment, need: Need, wanted: Wanted, work: Work) -> None:
        means, code = self._means, Code.CANCELLED.value
        standing = means.board.standings.get(deployment.id, UNSEEN)
        key = next(iter(usable_keys(deployment, standing, means.board.now())), 0)
        attempt = Attempt(wanted, deployment.with_key(key), 1, reason="shadow copy")
        try:
            with means.board.calling(deployment, key, need.tokens) as call:
                try:
                    await attempt.run(means.boundary, work, means.tracer)
                    code = ""
                finally:
                    means.board.spent(call, attempt.served().usage.total if not code else 0, asked=attempt.sent)
        except Failure as failure:
            code = failure.code.value
        finally:
            means.metrics.shadows.add(deployment.name, code or "ok")
            count(means.metrics, attempt, need, wanted, code)
