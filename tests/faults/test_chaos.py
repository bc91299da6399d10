"""Minutes of jobs of every kind while parts of the plane are killed at random; the seed is printed, and can be given
again in PENSTOCK_CHAOS_SEED (PENSTOCK_CHAOS_S: for how many seconds)."""

import asyncio
import itertools
import os
import random
import secrets
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import pytest

from penstock.client import Penstock
from penstock.client.follow import TRANSIENT
from penstock.contracts.errors import Failure
from penstock.contracts.jobs import Job, JobView
from tests.faults.proof import completed, ended, journal_is_clean, log_verifies, settled, told_in_order
from tests.faults.world import Phase, World, world
from tests.support.launched import PARTS

LASTS_S = float(os.environ.get("PENSTOCK_CHAOS_S", "240"))
SEED = int(os.environ.get("PENSTOCK_CHAOS_SEED", "0")) or secrets.randbelow(10**6)
Send = Callable[[Job], Awaitable[None]]
PHASES: tuple[Phase, ...] = ("asked", "streaming", "tool", "between", "")
JOBS_MAX = 12
END_S = 180.0
CLEAR = {"unavailable", "overloaded", "upstream", "unknown_outcome", "deadline"}
"""What a job may fail with when a part of the plane was away for longer than its patience."""


@dataclass
class Report:
    """What happened, for the screen."""

    ends: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)

    def say(self, what: str) -> None:
        sys.stdout.write(f"\nchaos: seed {SEED}, {LASTS_S:g} s: {what}\n")


class Chaos:
    """Jobs on one side, kills on the other, both as the dice say."""

    def __init__(self, world: World, client: Penstock) -> None:
        self._world = world
        self._client = client
        self._dice = random.Random(SEED)
        self._killers_dice = random.Random(SEED + 1)  # of its own: the same seed kills the same parts at the same times
        self._numbers = itertools.count(1)
        self._until = time.monotonic() + LASTS_S
        self.report = Report()

    @property
    def _going(self) -> bool:
        return time.monotonic() < self._until

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(JOBS_MAX):
                group.create_task(self._user())
            group.create_task(self._killer())

    async def _killer(self) -> None:
        while self._going:
            await asyncio.sleep(self._killers_dice.uniform(1.0, 8.0))
            part = self._killers_dice.choice(PARTS)
            try:
                self._world.plane.kill(part)
            except (AssertionError, ProcessLookupError):
                continue  # it is down already
            self.report.kills[part] += 1

    async def _user(self) -> None:
        while self._going:
            tag = f"z{next(self._numbers)}"
            agent = self._dice.random() < 0.6
            hold = self._world.hold(tag, self._dice.choice(PHASES))
            asyncio.get_running_loop().call_later(self._dice.uniform(0.0, 4.0), hold.go.set)
            job = self._world.agent(tag) if agent else self._world.chat(tag)
            await self._sent(job, self._dice.choice((self._submit, self._publish, self._post)))
            view, events = await ended(self._client, job.id, END_S)
            told_in_order(events)
            await self._once(tag, view, agent)
            self.report.ends[view.state if view.error is None else f"{view.state}: {view.error.code}"] += 1

    async def _once(self, tag: str, view: JobView, agent: bool) -> None:
        """Each effect at most once, and all of them when the job says that it is done."""
        assert view.state == "completed" or (view.state == "failed" and view.error and view.error.code in CLEAR), view
        effects = list(self._world.shop.effects.values())
        for item in (f"{tag}-1", f"{tag}-2"):
            assert len(set(self._world.shop.keys(item))) <= 1, item
            times = effects.count(item)
            assert times <= 1 and (times == 1 or not agent or view.state != "completed"), (item, times)

    # Ways to ask ------------------------------------------------------------------------------------------------

    async def _sent(self, job: Job, send: Send) -> None:
        """Again, with the same id, until somebody took it."""
        while True:
            try:
                return await send(job)
            except Failure as failure:
                assert failure.code in TRANSIENT, failure
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.3)

    async def _submit(self, job: Job) -> None:
        await self._client.submit(job)

    async def _publish(self, job: Job) -> None:
        await self._client.publish(job)

    async def _post(self, job: Job) -> None:
        key = self._world.plane.profile.key()
        url = f"{self._world.plane.profile.http_url}/v1/jobs"
        async with httpx.AsyncClient(headers={"authorization": f"Bearer {key}"}, timeout=30) as http:
            answer = await http.post(url, content=msgspec.json.encode(job))
        if answer.status_code >= 500:
            raise httpx.TransportError(answer.text)
        assert answer.status_code in (200, 202), answer.text


@pytest.fixture
async def storm(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as it:
        yield it


@pytest.mark.long
@pytest.mark.timeout(LASTS_S + 360)
async def test_whatever_is_killed_whenever_every_job_ends_once_and_the_books_are_equal(storm: World) -> None:
    async with storm.plane.client() as client:
        chaos = Chaos(storm, client)
        try:
            await chaos.run()
        finally:
            chaos.report.say(f"kills {dict(chaos.report.kills)}, ends {dict(chaos.report.ends)}")
        await storm.plane.whole()
        await client.submit(storm.agent("zlast"))
        await completed(storm, client, "zlast")
        await journal_is_clean(storm, "job_zlast")
        records = await log_verifies(client)
    books = await settled(storm, None)
    lost = Counter(decision.action for decision in books.open.values())
    chaos.report.say(f"{records} records verified, {len(books.outcomes)} outcomes, cut off {dict(lost)}")
    assert chaos.report.ends["completed"] > 0.8 * chaos.report.ends.total()
