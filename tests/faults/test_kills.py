"""kill -9 of each part while jobs stand at every moment of their life: nothing is lost, nothing is done twice."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path

import httpx
import pytest

from penstock.client import Penstock, job
from penstock.contracts.jobs import Job, JobView
from tests.faults.proof import charged_once, completed, ended, log_verifies, settled
from tests.faults.world import Hold, Phase, World, world
from tests.support.eventually import eventually
from tests.support.launched import PARTS
from tests.support.model_server import plain

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(400)]

CHATS: tuple[Phase, ...] = ("asked", "streaming")
AGENTS: tuple[Phase, ...] = ("asked", "tool", "between")
REACHED_S = 30.0
FEW = ("broker", "store", "policy", "router", "orchestrator")
"""Always killed; the others too where there are minutes for it."""
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

    async def done(self, client: Penstock | None = None) -> None:
        """All of them completed, each step once."""
        async with asyncio.TaskGroup() as ends:
            for tag in (*self.chats, *self.agents):
                ends.create_task(completed(self._world, client or self._client, tag))


async def survived(it: World, part: str, *, when_back: bool) -> None:
    """Kills the part under a crowd of jobs, which go on at once or only `when_back`."""
    async with it.plane.client() as client:
        crowd = Crowd(it, client)
        await crowd.gather()
        killed = it.plane.kill(part)
        if not when_back:
            crowd.release()
        await it.plane.back(part, killed)
        crowd.release()
        await crowd.done()
        for tag in crowd.agents:
            charged_once(it, tag, requests_max=2 if part == "tool_executor" else 1)
        tag = next(_tags)
        await client.submit(it.agent(tag))
        await completed(it, client, tag)
        charged_once(it, tag)
        await log_verifies(client)
    await settled(it, CUT_OFF.get(part, ()))


CUT_OFF = {"router": ["model.complete"] * 4, "tool_executor": ["tool.call"]}
"""Actions that the killed process itself had under way: nobody can say what came of them, and they count as used."""


@pytest.mark.parametrize("part", FEW)
async def test_jobs_that_go_on_while_a_part_is_dead_end_well(shared_world: World, part: str) -> None:
    await survived(shared_world, part, when_back=False)


@pytest.mark.long
@pytest.mark.parametrize("part", [part for part in PARTS if part not in FEW])
async def test_so_they_do_for_every_other_part(shared_world: World, part: str) -> None:
    await survived(shared_world, part, when_back=False)


@pytest.mark.long
@pytest.mark.parametrize("part", PARTS)
async def test_jobs_that_go_on_when_the_part_is_back_end_well(shared_world: World, part: str) -> None:
    await survived(shared_world, part, when_back=True)


@pytest.mark.long
async def test_everything_at_once_is_survived_too(shared_world: World) -> None:
    """As when the machine loses its power and the launcher does not."""
    async with shared_world.plane.client() as client:
        crowd = Crowd(shared_world, client)
        await crowd.gather()
        killed = {part: shared_world.plane.kill(part) for part in PARTS}
        crowd.release()
        for part, pid in killed.items():
            await shared_world.plane.back(part, pid)
        await crowd.done()
        for tag in crowd.agents:
            charged_once(shared_world, tag, requests_max=2)
        await log_verifies(client)
    await settled(shared_world, None)


@pytest.mark.long
@pytest.mark.parametrize("hard", [True, False])
async def test_a_plane_that_is_started_again_goes_on_with_its_jobs(tmp_path: Path, hard: bool) -> None:
    """After kill -9 of the launcher, with which all its parts die, and after an orderly stop."""
    async with world(tmp_path) as it:
        async with it.plane.client() as client:
            crowd = Crowd(it, client)
            await crowd.gather()
        pids = [it.plane.pid(part) for part in PARTS]
        if hard:
            await it.plane.process.kill()
        else:
            assert await it.plane.process.terminate(40.0) == 0

        async def all_gone() -> None:
            assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]

        await eventually(all_gone, 10)
        crowd.release()
        await it.plane.start_again()
        async with it.plane.client() as client:
            await crowd.done(client)
            for tag in crowd.agents:
                charged_once(it, tag, requests_max=2)
            await log_verifies(client)
        await settled(it, None if hard else ())


@pytest.mark.long
async def test_a_call_that_must_not_be_repeated_is_not_and_its_job_says_so(shared_world: World) -> None:
    """Its executor dies while the site is asked: whether it took effect nobody can say, and a person is waited for."""
    plane, tag = shared_world.plane, next(_tags)
    hold = shared_world.hold(tag, "tool")
    key = await plane.known_key(scopes=("*", "tools:dangerous"))
    async with plane.client(key) as client:
        fire = job("tool", {"item": f"{tag}-1"}, tool="fire", id=f"job_{tag}")
        await client.submit(fire)
        await asyncio.wait_for(hold.reached.wait(), REACHED_S)
        killed = plane.kill("tool_executor")
        await plane.back("tool_executor", killed)
        hold.go.set()

        async def blocked() -> JobView:
            view = await client.get(f"job_{tag}")
            assert view.state == "blocked", view
            return view

        await eventually(blocked, 60, every_s=0.3)
        assert (await client.submit(fire)).duplicate
        assert len(shared_world.shop.keys(f"{tag}-1")) == 1
        cancelled = await client.cancel(f"job_{tag}")
        view, events = await ended(client, f"job_{tag}")
        assert cancelled.id == view.id and view.state == "cancelled"
        reasons = [(event.name, event.detail) for event in events if event.type == "blocked"]
        assert [name for name, _ in reasons] == ["unknown_outcome"] and "fire" in reasons[0][1]
    await settled(shared_world, None)


@pytest.mark.long
async def test_the_books_are_equal_after_the_store_died_again_and_again_under_load(tmp_path: Path) -> None:
    """What it had acknowledged it has, or is told again: a reservation is never forgotten, nor settled twice."""
    over = asyncio.Event()
    statuses: Counter[int] = Counter()
    async with world(tmp_path, "--log-level", "warning") as it:
        it.provider.script(plain("Hello there."))
        body = {"model": "chat", "messages": [{"role": "user", "content": "hello"}]}
        headers = {"authorization": f"Bearer {it.plane.profile.key()}"}

        async def user(http: httpx.AsyncClient) -> None:
            while not over.is_set():
                statuses[(await http.post("/v1/chat/completions", json=body)).status_code] += 1

        client = httpx.AsyncClient(base_url=it.plane.state.http_url, headers=headers, timeout=60)
        async with client as http, asyncio.TaskGroup() as users:
            for _ in range(16):
                users.create_task(user(http))
            for _ in range(8):
                enough = statuses[200] + 100

                async def some_more(enough: int = enough) -> None:
                    assert statuses[200] >= enough

                await eventually(some_more, 60, every_s=0.05)
                await it.plane.back("store", it.plane.kill("store"))
            over.set()
        assert set(statuses) <= {200, 503}, statuses
        # the settlement's patience with a store that is away grows to half a minute
        await settled(it, (), within_s=120)
        async with it.plane.client() as own:
            await log_verifies(own)
