"""Health between routers: each writes its own report into the shared store and reads those of the others.

No request ever waits for the store. When it is lost, each router goes on with what it has seen itself.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from penstock.contracts.errors import Failure
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.store import Store
from services.router.attempts import report
from services.router.attempts.board import Board
from services.router.attempts.report import Report

KEY = "penstock:router:health"
"""A hash: a router's name, its report."""
PAUSE_S = 0.05
"""Between two rounds at least, however many breakers open."""
SILENT_ROUNDS = 5
"""A router whose report stood still for so many rounds has gone."""
FORGOTTEN_S = 60.0
KEPT_S = 600
"""The whole hash goes when nobody has written for so long."""


@dataclass(slots=True)
class _Heard:
    report: Report
    since: float
    """When this report was first seen."""


class Sharing:
    """`name` tells this router's reports from the others'. `every_s`: between two rounds; a breaker that opens is told
    at once."""

    def __init__(self, store: Store, board: Board, name: str, every_s: float, metrics: Metrics, log: Log) -> None:
        self._store = store
        self._board = board
        self._name = name
        self._every_s = every_s
        self._metrics = metrics
        self._log = log
        self._heard: dict[str, _Heard] = {}
        self._number = 0
        self._told_of = True
        self._news = asyncio.Event()
        board.opened = self._news.set
        metrics.health_shared.set(0.0)

    async def run(self) -> None:
        """For ever."""
        while True:
            await self.once()
            await asyncio.sleep(PAUSE_S)
            try:
                async with asyncio.timeout(self._every_s):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def once(self) -> None:
        """One round: tell, and hear. Never raises Failure."""
        self._news.clear()
        self._number += 1
        own = report.write(self._board.standings, self._number, self._board.now())
        commands = [("HSET", KEY, self._name, own), ("EXPIRE", KEY, KEPT_S), ("HGETALL", KEY)]
        try:
            _, _, answer = await self._store.do_all(commands)
        except Failure as failure:
            self._lost(str(failure))
            return
        if not self._told_of:
            self._log.info("health of deployments is shared again")
        self._told_of = True
        self._metrics.health_shared.set(1.0)
        gone = self._hear(answer if isinstance(answer, dict) else {})
        if gone:
            await self._forget(gone)

    async def close(self) -> None:
        """The others need not wait until it is seen that this router has gone."""
        await self._forget([self._name])
        await self._store.close()

    def _hear(self, reports: Mapping[bytes, bytes]) -> list[str]:
        """What the others know goes to the board; names of those that have gone are returned."""
        now = self._board.now()
        names = {name.decode(errors="replace"): raw for name, raw in reports.items()}
        self._heard = {name: heard for name, heard in self._heard.items() if name in names}
        for name, raw in names.items():
            fresh = report.read(raw) if name != self._name else None
            known = self._heard.get(name)
            if fresh is not None and (known is None or known.report.number != fresh.number):
                self._heard[name] = _Heard(fresh, now)
        silent_s = SILENT_ROUNDS * (self._every_s + PAUSE_S)
        living = [heard for heard in self._heard.values() if now - heard.since < silent_s]
        self._board.hear(report.together(heard.report for heard in living))
        for heard in living:
            for id, key, kind, left_s in report.rests(heard.report, now - heard.since):
                self._board.hear_rest(id, key, kind, left_s)
        return [name for name, heard in self._heard.items() if now - heard.since > FORGOTTEN_S]

    def _lost(self, why: str) -> None:
        self._metrics.health_shared.set(0.0)
        self._board.hear({})
        if self._told_of:
            self._log.warning("the store is lost: each router goes by what it sees itself", why=why)
        self._told_of = False

    async def _forget(self, names: list[str]) -> None:
        try:
            await self._store.do("HDEL", KEY, *names)
        except Failure:
            return  # they are forgotten with the whole hash
