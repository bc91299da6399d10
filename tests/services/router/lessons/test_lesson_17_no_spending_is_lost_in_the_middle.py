"""A router that is killed, or loses the broker or the store, in the middle of an answer leaves each attempt settled
exactly once: by its outcome, or as what was reserved. The books themselves: tests/services/policy/lessons."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from penstock.contracts.policy import Balance
from tests.services.router.conftest import Plane, Streamed
from tests.support.eventually import eventually
from tests.support.model_server import Line, Received, Reply, chunk, usage_chunk
from tests.support.process import ModuleProcess, module_process

SOON = {"lease_max_s": 2.0, "expire_every_s": 0.1}
"""How long policy waits for an outcome."""
BILLED_NANO = 9 * 2_000 + 3 * 10_000


def held_back(gate: asyncio.Event) -> Reply:
    async def reply(line: Line, request: Received) -> None:
        line.head(Content_Type="text/event-stream")
        line.write(chunk({"content": "be"}))
        await gate.wait()
        line.write(chunk({"content": "gun"}, "stop") + usage_chunk(9, 3, 0) + b"data: [DONE]\n\n")
        line.end()

    return reply


@asynccontextmanager
async def router(plane: Plane) -> AsyncIterator[ModuleProcess]:
    plane.rewrite()
    environment = {
        "PENSTOCK_NATS_URL": plane.broker.url,
        "PENSTOCK_MODELS_FILE": "models.yaml",
        "PENSTOCK_CONFIG_DIR": str(plane.folder),
        "PENSTOCK_DATA_DIR": str(plane.folder),
    }
    async with module_process("services.router", environment=environment) as process:
        await process.says('"event":"ready"')
        yield process


@asynccontextmanager
async def under_way(plane: Plane) -> AsyncIterator[asyncio.Task[Streamed]]:
    """A stream of which something has come."""
    seen = Streamed()
    reading = asyncio.create_task(plane.stream(into=seen))

    async def begun() -> None:
        assert seen.frames

    await eventually(begun)
    yield reading
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def booked(plane: Plane) -> Balance:
    async def nothing_reserved() -> Balance:
        balance = await plane.balance()
        assert (balance.reserved_nano, balance.committed_nano > 0) == (0, True)
        return balance

    return await eventually(nothing_reserved, within_s=15.0)


@pytest.mark.parametrize("plane", [SOON], indirect=True)
async def test_a_router_killed_in_the_middle_of_a_stream_has_spent_what_was_reserved(plane: Plane) -> None:
    """Nobody knows what the provider billed: not nothing, and not twice."""
    await plane.log_in(usd=1.0)
    plane.server.script(held_back(asyncio.Event()))
    async with router(plane) as process, under_way(plane):
        await process.kill()
        (decision,) = await plane.decisions()
        assert (await booked(plane)).committed_nano == decision.reserved_nano
        assert await plane.ended() == []


async def test_a_store_that_is_away_when_an_answer_ends_loses_nothing_of_it(plane: Plane) -> None:
    await plane.log_in(usd=1.0)
    gate = asyncio.Event()
    plane.server.script(held_back(gate))
    plane.deployments["one"]["timeouts"] = {"idle_s": 20.0}
    async with plane.router(), under_way(plane) as reading:
        await plane.valkey.kill()
        gate.set()
        await reading
        await plane.outcomes(1)
        await plane.valkey.start()

        async def settled() -> None:
            assert await there(plane) == (BILLED_NANO, 0)

        await eventually(settled, within_s=15.0)


async def there(plane: Plane) -> tuple[int, int]:
    """Committed and reserved, while policy looks for its store."""
    try:
        balance = await plane.balance()
    except Exception as error:
        raise AssertionError from error
    return balance.committed_nano, balance.reserved_nano


async def test_a_broker_that_is_away_when_an_answer_ends_loses_nothing_of_it(plane: Plane) -> None:
    await plane.log_in(usd=1.0)
    gate = asyncio.Event()
    plane.server.script(held_back(gate))
    plane.deployments["one"]["timeouts"] = {"idle_s": 20.0}
    async with plane.router(), under_way(plane):
        await plane.broker.kill()
        gate.set()
        await plane.broker.start()

        async def settled() -> None:
            committed, reserved = await there(plane)
            assert (committed > 0, reserved) == (True, 0)

        await eventually(settled, within_s=20.0)
        assert len(await plane.ended()) == 1
