"""Whom the frames of one streamed answer are for: its reader as long as there is one, and a kept stream where it is
kept for those who come back.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import HEAD_START, CompletionEnd, CompletionHead
from services.router.attempts.attempt import Attempt
from services.router.models.deployment import SPOOL, OnDisconnect
from services.router.streams.kept_stream import KeptStream
from services.router.streams.relay import Out

_heads = msgspec.json.Decoder(CompletionHead)


class Reader(Out, Protocol):
    """The bus's side of a stream. What is sent after its end goes nowhere. `left`: the reader has gone."""

    left: bool


class Audience:
    """An Out. `attempt`: who answers, once there is content."""

    __slots__ = ("_alone", "_began", "_kept", "_out", "_wished", "attempt")

    def __init__(self, out: Reader, kept: KeptStream | None, *, wished: bool) -> None:
        """`kept`: where the stream may be kept; `wished`: whether the caller asked for that."""
        self._out = out
        self._kept = kept
        self._wished = wished
        self._alone = False
        self._began = False
        self.attempt: Attempt | None = None

    def serving(self, attempt: Attempt) -> None:
        """This attempt has content."""
        self.attempt = attempt

    @property
    def rule(self) -> OnDisconnect | None:
        """How the answer goes on when its reader has gone; None when it does not."""
        if not self._out.left:
            return None
        rule = self.attempt.deployment.on_disconnect if self.attempt else OnDisconnect()
        if self.spooled:
            return rule
        return None if self.attempt is None or rule.do == "cancel" else rule

    @property
    def spooled(self) -> bool:
        """Whether somebody may come back for the answer."""
        return self._kept is not None and self._kept.opened

    def leave(self) -> None:
        """The answer goes on without its reader."""
        self._alone = True
        if self.attempt is not None:
            self.attempt.left = True

    async def send(self, data: bytes) -> None:
        """Waits while the reader, if there is one, wants no more."""
        if self._kept is not None:
            data = self._keep(data)
        if not self._alone:
            await self._out.send(data)

    async def through(self, work: Callable[[], Awaitable[CompletionEnd]]) -> CompletionEnd:
        """The end that `work` comes to, which the kept stream is told of however it comes."""
        last: CompletionEnd | Failure = Failure(Code.INTERNAL, "internal error")
        try:
            last = await work()
            return last
        except Failure as failure:
            last = failure
            raise
        except asyncio.CancelledError:
            last = Failure(Code.CANCELLED, "the answer was stopped before its end")
            raise
        finally:
            if self._kept is not None:
                self._kept.finish(last)

    def _keep(self, data: bytes) -> bytes:
        """What the reader is shown of `data`."""
        assert self._kept is not None
        if not self._began:
            self._began = True
            if data.startswith(HEAD_START):
                return self._open(data)
        shown = self._kept.add(data)
        return shown if self._wished else data

    def _open(self, data: bytes) -> bytes:
        """The head with the name of the kept stream, where the caller or the deployment's rule wants one."""
        assert self._kept is not None
        by_rule = self.attempt is not None and self.attempt.deployment.on_disconnect.do == SPOOL
        head = _heads.decode(data)
        obliged = self.attempt.duty.texts if self.attempt is not None else ()
        if not (self._wished or by_rule) or not self._kept.open(head.served, obliged):
            self._kept = None
            return data
        return msgspec.json.encode(msgspec.structs.replace(head, stream=self._kept.id))
