"""The four limits of one attempt, over one timer of the running task."""

import asyncio
from types import TracebackType

from services.router.deployment import Timeouts
from services.router.fault import Fault, FaultKind


class Watch:
    """`async with Watch(...) as watch:` ends with a Fault of its own for each limit that is passed.

    `deadline` is the caller's, in the loop's time. Keep-alives of the provider do not feed it: only `content` does.
    """

    __slots__ = ("_deadline", "_limits", "_loop", "_paused", "_started", "_timer", "_waiting_for", "_when")

    def __init__(self, limits: Timeouts, deadline: float, loop: asyncio.AbstractEventLoop) -> None:
        self._limits = limits
        self._loop = loop
        self._started = loop.time()
        self._deadline = deadline
        self._timer: asyncio.Timeout | None = None
        self._when = deadline
        self._waiting_for = ""
        self._paused = (deadline, "", 0.0)

    def whole(self) -> None:
        """Waiting for an answer in one piece, or for a reader that takes its time: only the total holds."""
        self._until(self._deadline, "")

    def headers(self) -> None:
        """Sent; waiting for the response's headers."""
        self._until(self._started + self._limits.headers_s, f"no answer began within {self._limits.headers_s:g} s")

    def first_content(self) -> None:
        """Headers came; waiting for the first content."""
        seconds = self._limits.first_content_s
        self._until(self._started + seconds, f"no content came within {seconds:g} s")

    def content(self) -> None:
        """Content came; waiting for more."""
        seconds = self._limits.idle_s
        self._until(self._loop.time() + seconds, f"nothing came for {seconds:g} s")

    def done(self) -> None:
        """Nothing is waited for any more."""
        timer = self._entered()
        if not timer.expired():
            timer.reschedule(None)

    def pause(self) -> None:
        """The provider is not waited for, until `resume`: the limit under way stands still."""
        self._paused = (self._when, self._waiting_for, self._loop.time())
        self.whole()

    def resume(self) -> None:
        """Waiting for the provider again."""
        when, why, since = self._paused
        self._until(when + self._loop.time() - since, why)

    def _until(self, when: float, why: str) -> None:
        total = self._started + self._limits.total_s
        if total < when:
            when, why = total, f"the answer took longer than {self._limits.total_s:g} s"
        if self._deadline <= when:
            when, why = self._deadline, "the caller's deadline passed"
        if self._timer is None:
            self._timer = asyncio.timeout_at(when)
        elif not self._timer.expired():
            self._timer.reschedule(when)
        else:
            return
        self._when = when
        self._waiting_for = why

    async def __aenter__(self) -> "Watch":
        self.whole()
        await self._entered().__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._entered().__aexit__(kind, error, trace)
        except TimeoutError:
            raise Fault(FaultKind.TIMEOUT, self._waiting_for, sent=True) from None

    def _entered(self) -> asyncio.Timeout:
        assert self._timer is not None
        return self._timer
