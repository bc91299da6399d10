"""kill -9 of each part while jobs stand at every moment of their life: nothing is lost, nothing is done twice."""

import asyncio
import itertools
from collections.abc import Awaitable

import pytest

from penstock.client import Penstock
from penstock.contracts.jobs import Job
from tests.faults.proof import charged_once, completed, log_verifies, settled
from tests.faults.world import Hold, Phase, World
from tests.support.launched import PARTS

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

CHATS: tuple[Phase, ...] = ("asked", "streaming")
AGENTS: tuple[Phase, ...] = ("asked", "tool", "between")
REACHED_S = 30.0
_tags = (f"k{number}" for number in itertools.count(1))


class Crowd:
    """One job for every moment, each held there."""

    def __init__(self, world: World, client: Penstock) -> None:
        self._world = world
        self._client = client
        self._holds: list[Hold] = []
        self.chats: list[str] = []
        self.agents: list[str] = []

    async def gather(self) -> None:
        """Half of them are submitted, half only published."""
        jobs: list[Job] = []
        for phase in CHATS:
            self.chats.append(next(_tags))
            self._holds.append(self._world.hold(self.chats[-1], phase))
            jobs.append(self._world.chat(self.chats[-1]))
        for phase in AGENTS:
            self.agents.append(next(_tags))
            self._holds.append(self._world.hold(self.agents[-1], phase))
            jobs.append(self._world.agent(self.agents[-1]))
        sent: list[Awaitable[object]] = [self._client.submit(job) for job in jobs[::2]]
        await asyncio.gather(*sent, *(self._client.publish(job) for job in jobs[1::2]))
        async with asyncio.timeout(REACHED_S):
            await asyncio.gather(*(hold.reached.wait() for hold in self._holds))

    def release(self) -> None:
        for hold in self._holds:
            hold.go.set()

    async def done(self) -> None:
        """All of them completed, each step once."""
        async with asyncio.TaskGroup() as ends:
            for tag in (*self.chats, *self.agents):
                ends.create_task(completed(self._world, self._client, tag))


async def survived(world: World, part: str, *, when_back: bool) -> None:
    """Kills the part under a crowd of jobs, which go on at once or only `when_back`."""
    async with world.plane.client() as client:
        crowd = Crowd(world, client)
        await crowd.gather()
        killed = world.plane.kill(part)
        if not when_back:
            crowd.release()
        await world.plane.back(part, killed)
        crowd.release()
        await crowd.done()
        for tag in crowd.agents:
            charged_once(world, tag, requests_max=2 if part == "tool_executor" else 1)
        tag = next(_tags)
        await client.submit(world.agent(tag))
        await completed(world, client, tag)
        charged_once(world, tag)
        await log_verifies(client)
    await settled(world, CUT_OFF.get(part, ()))


CUT_OFF = {"router": ["model.complete"] * 4, "tool_executor": ["tool.call"]}
"""Actions that the killed process itself had under way: nobody can say what came of them, and they count as used."""


@pytest.mark.parametrize("part", PARTS)
async def test_jobs_that_go_on_while_a_part_is_dead_end_well(shared_world: World, part: str) -> None:
    await survived(shared_world, part, when_back=False)
