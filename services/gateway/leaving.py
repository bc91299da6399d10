"""Ends what is being done for an HTTP client when the client leaves."""

import asyncio
from types import TracebackType

from starlette.types import Receive

from penstock.contracts.errors import Code, Failure


class WhileConnected:
    """`async with WhileConnected(receive):` cancels the block when the client leaves, and raises Failure(CANCELLED).

    Only after the request's body was read: the next message from the server is the disconnect.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.gone = False

    async def __aenter__(self) -> "WhileConnected":
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._watch = asyncio.create_task(self._until_gone())
        return self

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.give_up()

    def give_up(self) -> None:
        """As if the client had left."""
        if not self.gone:
            self.gone = True
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.cancel()
        if not self.gone:
            return
        if isinstance(error, asyncio.CancelledError):
            self._task.uncancel()
            raise Failure(Code.CANCELLED, "the client left") from error
        if error is None:
            # cancelled at the very end: let it arrive here and not in what follows
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self._task.uncancel()
