"""The four limits of one attempt, over one timer of the running task."""

import asyncio
import math
from types import TracebackType

from services.router.fault import Fault, FaultKind
from services.router.models.deployment import Timeouts

_HEADERS = "no answer began within {:g} s"
_FIRST_CONTENT = "no content came within {:g} s"
_IDLE = "nothing came for {:g} s"
_TOTAL = "the answer took longer than {:g} s"
_DEADLINE = "the caller's deadline passed"


class Watch:
    """`async with Watch(...) as watch:` ends with a Fault of its own for each limit that is passed.

    `deadline` is the caller's, in the loop's time. Keep-alives of the provider do not feed it: only `content` does.
    A limit that moves away costs nothing: the timer looks for itself, when it is due, whether it still is.
    """

    __slots__ = (
        "_armed",
        "_ends",
        "_limits",
        "_loop",
        "_passed",
        "_paused",
        "_seconds",
        "_started",
        "_timeout",
        "_timer",
        "_waiting_for",
        "_when",
    )

    def __init__(self, limits: Timeouts, deadline: float, loop: asyncio.AbstractEventLoop) -> None:
        self._limits = limits
        self._loop = loop
        self._started = loop.time()
        total = self._started + limits.total_s
        self._ends = (deadline, _DEADLINE, 0.0) if deadline <= total else (total, _TOTAL, limits.total_s)
        self._timeout: asyncio.Timeout | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._armed = math.inf
        self._when, self._waiting_for, self._seconds = self._ends
        self._paused = (math.inf, "", 0.0, 0.0)
        self._passed = ""

    def whole(self) -> None:
        """Waiting for an answer in one piece, or for a reader that takes its time: only the total holds."""
        self._until(math.inf, "", 0.0)

    def headers(self) -> None:
        """Sent; waiting for the response's headers."""
        seconds = self._limits.headers_s
        self._until(self._started + seconds, _HEADERS, seconds)

    def first_content(self) -> None:
        """Headers came; waiting for the first content."""
        seconds = self._limits.first_content_s
        self._until(self._started + seconds, _FIRST_CONTENT, seconds)

    def content(self) -> None:
        """Content came; waiting for more."""
        seconds = self._limits.idle_s
        self._until(self._loop.time() + seconds, _IDLE, seconds)

    def done(self) -> None:
        """Nothing is waited for any more."""
        self._when = math.inf

    def pause(self) -> None:
        """The provider is not waited for, until `resume`: the limit under way stands still."""
        self._paused = (self._when, self._waiting_for, self._seconds, self._loop.time())
        self._until(math.inf, "", 0.0)

    def resume(self) -> None:
        """Waiting for the provider again."""
        when, why, seconds, since = self._paused
        self._until(when + self._loop.time() - since, why, seconds)

    def _until(self, when: float, why: str, seconds: float) -> None:
        if when < self._ends[0]:
            self._when, self._waiting_for, self._seconds = when, why, seconds
        else:
            self._when, self._waiting_for, self._seconds = self._ends
        if self._when < self._armed and self._timeout is not None:
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = self._when
        self._timer = self._loop.call_at(self._when, self._due)

    def _due(self) -> None:
        self._timer = None
        self._armed = math.inf
        if self._when <= self._loop.time():
            if self._timeout is not None and not self._timeout.expired():
                self._passed = self._waiting_for.format(self._seconds)
                self._timeout.reschedule(self._loop.time())
        elif self._when < math.inf:
            self._arm()

    async def __aenter__(self) -> "Watch":
        self._timeout = asyncio.timeout(None)
        await self._timeout.__aenter__()
        self.whole()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed = -math.inf
        assert self._timeout is not None
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise Fault(FaultKind.TIMEOUT, self._passed, sent=True) from None
