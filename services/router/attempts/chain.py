"""Serves requests by attempts: one course for each, and the copies that it casts."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from penstock.kit.boundary import Boundary
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.span import UNTRACED, Tracer
from services.router.attempts.attempt import Attempt, Wanted
from services.router.attempts.board import Board
from services.router.attempts.course import ChainRules, Course, Means
from services.router.attempts.purse import Ask, Purse
from services.router.attempts.shadow import Shadows, Work
from services.router.choosing.choose import copies
from services.router.choosing.request import UNBOUNDED_USD, Need
from services.router.models.catalogue import Alias

Result = TypeVar("Result")

SHADOWS_MAX = 64


class Chain:
    """Health is the board's; of its own it keeps what policy said of budgets, and the copies under way."""

    def __init__(
        self,
        boundary: Boundary,
        board: Board,
        rules: ChainRules,
        metrics: Metrics,
        log: Log,
        ask: Ask,
        *,
        shadows_max: int = SHADOWS_MAX,
        tracer: Tracer = UNTRACED,
    ) -> None:
        self._board = board
        self._purse = Purse(ask)
        self._means = Means(boundary, board, rules, metrics, log, self._purse, tracer)
        self._shadows = Shadows(self._means, shadows_max)

    async def run(
        self,
        alias: Alias,
        need: Need,
        wanted: Wanted,
        work: Callable[[Attempt], Awaitable[Result]],
        copy: Work | None = None,
    ) -> Result:
        """The first result; see Course.run. `copy` does the same work for a deployment whose answer nobody sees;
        without it there are no copies."""
        if alias.rules:
            left_usd = await self._purse.left_usd(wanted.meta) if alias.looks_at_budget else UNBOUNDED_USD
            need = msgspec.structs.replace(
                need, tenant=need.tenant or wanted.meta.tenant, budget_left_usd=min(need.budget_left_usd, left_usd)
            )
        draw = str(random.random())
        cast: list[asyncio.Task[None]] = []
        if alias.shadows and copy is not None:
            chosen = copies(alias, need, self._board.standings, self._board.now(), draw)
            cast = self._shadows.cast(chosen, need, wanted, copy)
        try:
            return await Course(self._means, alias, need, wanted, work, draw).run()
        except asyncio.CancelledError:
            for task in cast:
                task.cancel()
            raise

    async def close(self) -> None:
        """Stops the copies under way."""
        await self._shadows.close()


__all__ = ["Chain", "ChainRules"]
