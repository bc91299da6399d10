"""Streamed answers whose readers leave: stopped at once, or read to the end within limits, as their deployment says."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from penstock.contracts.errors import Failure
from penstock.contracts.llm import CompletionEnd
from penstock.kit.entry import Hosting
from penstock.kit.handling import bug
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from services.router.streams.audience import Audience

Work = Callable[[], Awaitable[CompletionEnd]]


class Departures:
    """An endpoint without a subject: a service that stops gives those that go on its time to finish, then ends them,
    and each is settled."""

    name = "answers without readers"

    def __init__(self, metrics: Metrics, log: Log) -> None:
        self._metrics = metrics
        self._log = log
        self._going_on: dict[asyncio.Task[CompletionEnd], str] = {}
        self._stopping = False

    def __len__(self) -> int:
        return len(self._going_on)

    async def run(self, audience: Audience, work: Work) -> CompletionEnd:
        """What `work` comes to. It runs in a task of its own; when ours is cancelled it is stopped too, unless its
        reader has left and the rule says that it goes on."""
        task = asyncio.create_task(audience.through(work))
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            if not self._goes_on(audience, task):
                task.cancel()
                await asyncio.wait({task})
                _seen(task)
            raise
        return task.result()

    async def start(self, hosting: Hosting) -> None:
        """There is nothing to begin."""

    async def stop(self, finish_s: float) -> None:
        """Waits so long, then ends them; no more are taken on."""
        self._stopping = True
        if self._going_on and finish_s > 0:
            await asyncio.wait(set(self._going_on), timeout=finish_s)
        left = set(self._going_on)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left)

    def _goes_on(self, audience: Audience, task: asyncio.Task[CompletionEnd]) -> bool:
        deployment = audience.attempt.deployment.name if audience.attempt else ""
        rule = audience.rule
        if rule is None or task.done() or self._stopping:
            how = "cancel"
        elif sum(name == deployment for name in self._going_on.values()) >= rule.drains_max:
            how = "full"
        else:
            how = "spool" if audience.spooled else "drain"
        self._metrics.disconnects.add(deployment, how)
        if how not in ("spool", "drain"):
            return False
        assert rule is not None
        audience.leave()
        self._going_on[task] = deployment
        timer = asyncio.get_running_loop().call_later(rule.drain_s, task.cancel)
        task.add_done_callback(partial(self._ended, timer))
        return True

    def _ended(self, timer: asyncio.TimerHandle, task: asyncio.Task[CompletionEnd]) -> None:
        timer.cancel()
        self._going_on.pop(task, None)
        error = _seen(task)
        if isinstance(error, Exception) and not isinstance(error, Failure):
            bug(error, self._log, where=self.name)


def _seen(task: asyncio.Task[CompletionEnd]) -> BaseException | None:
    """What it raised, which nobody else asks for."""
    return None if task.cancelled() else task.exception()
