"""Memory of each process: what it takes idle, and that it does not grow with the number of requests.

Measured beforehand, resident MiB: idle, services 43 to 73, store 6, broker 21. Over 12,000 chat requests, from the
1,000th on: gateway +1, router, tool executor, context and orchestrator +1 at most, audit +2, policy +7 up to its
10,000th decision (it remembers so many) and nothing from then on; the store 0.15 for each 1,000 (settled attempts are
remembered for 15 minutes). Over 2,400 agent jobs, router, tool executor and context grow by 2 KiB a job, since each
run has a token of its own and 10,000 verified tokens are remembered. The broker's heap comes and goes.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from penstock.contracts.services import SERVICES
from tests.faults.proof import ended
from tests.faults.world import World, world
from tests.support.launched import BROKER, STORE
from tests.support.model_server import plain

IDLE_MAX_MIB = 120.0
AT_ONCE = 16
GROWTH_SHORT_MIB = {"policy": 4.0, STORE: 2.0}
GROWTH_LONG_MIB = {"policy": 12.0, STORE: 8.0}
GROWTH_MIB = 4.0
"""Of any other service, over any number of requests."""
REMEMBERED = 10_000
"""From here on policy remembers no more than it does already."""
STEADY_MIB = 3.0
JOB_KIB = 4.0
BROKER_MAX_MIB = 400.0


@pytest.fixture
async def quiet(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, "--log-level", "warning") as it:
        yield it


class Load:
    """Chat requests through the edge."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.provider.script(plain("Hello there."))

    async def send(self, count: int) -> None:
        """So many, a few at once."""
        key = self._world.plane.profile.key()
        limits = httpx.Limits(max_connections=AT_ONCE)
        url = self._world.plane.state.http_url
        headers = {"authorization": f"Bearer {key}"}
        client = httpx.AsyncClient(base_url=url, headers=headers, timeout=60, limits=limits)
        async with client as http, asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._worker(http, count // AT_ONCE))
        self._world.provider.received.clear()

    async def _worker(self, http: httpx.AsyncClient, count: int) -> None:
        messages = [{"role": "user", "content": "<x> " + "y" * 500}]
        for _ in range(count):
            answer = await http.post("/v1/chat/completions", json={"model": "chat", "messages": messages})
            assert answer.status_code == 200, answer.text


def resident(world: World) -> dict[str, float]:
    return {part: world.plane.resident_mib(part) for part in (*SERVICES, STORE)}


def grown(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    return {part: round(after[part] - before[part], 1) for part in before}


def too_much(growth: dict[str, float], allowed: dict[str, float], others: float) -> dict[str, float]:
    return {part: mib for part, mib in growth.items() if mib > allowed.get(part, others)}


@pytest.mark.timeout(180)
async def test_each_service_is_small_when_idle_and_does_not_grow_over_1500_requests(quiet: World) -> None:
    idle = resident(quiet)
    assert not {part: mib for part, mib in idle.items() if mib > IDLE_MAX_MIB}
    load = Load(quiet)
    await load.send(512)
    warm = resident(quiet)
    await load.send(1500)
    growth = grown(warm, resident(quiet))
    assert not too_much(growth, GROWTH_SHORT_MIB, GROWTH_MIB), growth


@pytest.mark.long
@pytest.mark.timeout(580)
async def test_no_service_grows_over_20000_requests(quiet: World) -> None:
    load = Load(quiet)
    await load.send(1024)
    warm = resident(quiet)
    await load.send(REMEMBERED)
    half = resident(quiet)
    await load.send(REMEMBERED)
    full = resident(quiet)
    growth = grown(warm, full)
    assert not too_much(growth, GROWTH_LONG_MIB, GROWTH_MIB), growth
    steady = grown(half, full)
    assert not too_much(steady, {STORE: STEADY_MIB}, STEADY_MIB), steady
    assert not {part: mib for part, mib in full.items() if mib > IDLE_MAX_MIB}
    assert quiet.plane.resident_mib(BROKER) < BROKER_MAX_MIB


@pytest.mark.long
@pytest.mark.timeout(580)
async def test_jobs_cost_each_service_no_more_than_their_remembered_token(quiet: World) -> None:
    numbers = itertools.count()

    async def run(count: int) -> None:
        async with quiet.plane.client() as client:

            async def worker() -> None:
                for _ in range(count // AT_ONCE):
                    tag = f"j{next(numbers)}"
                    await client.submit(quiet.agent(tag, session=f"s{int(tag[1:]) % 50}"))
                    view, _ = await ended(client, f"job_{tag}")
                    assert view.state == "completed", view.error

            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(worker())

    await run(256)
    warm = resident(quiet)
    await run(1600)
    growth = grown(warm, resident(quiet))
    assert not too_much(growth, {"policy": 12.0, STORE: 8.0}, 1.0 + 1600 * JOB_KIB / 1024), growth
