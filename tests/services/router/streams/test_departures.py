"""Readers who leave a streamed answer: cancelled, or read to the end within limits; one settled record in each case."""

import asyncio

import pytest

from penstock.contracts.ids import run_id
from penstock.contracts.llm import Usage
from penstock.contracts.subjects import LLM_STREAM
from tests.services.router.conftest import Plane, asking
from tests.services.router.departing import left, reading
from tests.support.eventually import eventually
from tests.support.gated import ROLE, Gated
from tests.support.model_server import chunk, events, hang
from tests.support.process import module_process

DRAIN = {"do": "drain", "drain_s": 5.0, "drains_max": 2}


@pytest.fixture
def drained(plane: Plane) -> Gated:
    """`chat` is one deployment, which is drained; its answer stops half-way."""
    alone(plane, on_disconnect=DRAIN)
    gated = Gated()
    plane.server.script(gated.reply)
    return gated


def alone(plane: Plane, **more: object) -> None:
    """`chat` is `one` and nobody else."""
    plane.deployments.clear()
    plane.deploy("chat", "one", **more)


async def settled(plane: Plane, committed_nano: int) -> None:
    async def there() -> None:
        balance = await plane.balance()
        assert (balance.committed_nano, balance.reserved_nano) == (committed_nano, 0)

    await eventually(there)


async def upstream_closed(plane: Plane, hung_up: int = 1) -> None:
    async def closed() -> None:
        assert (plane.server.under_way, len(plane.server.hung_up)) == (0, hung_up)

    await eventually(closed, within_s=1.0)


async def test_a_drained_answer_is_read_to_its_end_and_the_provider_s_count_is_settled(
    plane: Plane, drained: Gated
) -> None:
    await plane.log_in(usd=1)
    async with plane.router() as router, reading(plane) as reader:
        await reader.has(b"a1")
        await reader.leave()

        async def gone() -> None:
            assert left(router, "drain") == 1

        await eventually(gone)
        assert plane.server.under_way == 1
        drained.go.set()
        (outcome,) = await plane.outcomes(1)
        assert (outcome.status, outcome.code, outcome.deployment) == ("cancelled", "cancelled", "one")
        assert outcome.usage == Usage(uncached=100, output=50)
        assert outcome.cost_nano == 100 * 2_000 + 50 * 10_000
        assert plane.server.hung_up == []
        await settled(plane, 700_000)


async def test_before_the_first_content_nothing_is_drained(plane: Plane, drained: Gated) -> None:
    plane.server.script(events(ROLE, then="hang"))
    async with plane.router(), reading(plane) as reader:

        async def asked() -> None:
            assert plane.server.under_way == 1

        await eventually(asked)
        await reader.leave()
        await upstream_closed(plane)
        (outcome,) = await plane.outcomes(1)
    assert (outcome.status, outcome.usage) == ("cancelled", Usage(uncached=6, output=0, estimated=True))


async def test_a_drain_ends_when_its_time_is_over(plane: Plane, drained: Gated) -> None:
    alone(plane, on_disconnect={"do": "drain", "drain_s": 0.2})
    async with plane.router(), reading(plane) as reader:
        await reader.has(b"a1")
        await reader.leave()
        await upstream_closed(plane)
        (outcome,) = await plane.outcomes(1)
    assert (outcome.status, outcome.usage) == ("cancelled", Usage(uncached=6, output=2, estimated=True))


async def test_above_so_many_drains_the_next_one_is_cancelled(plane: Plane, drained: Gated) -> None:
    async with plane.router() as router, reading(plane) as a, reading(plane) as b, reading(plane) as c:
        for reader in (a, b, c):
            await reader.has(b"a1")
        await a.leave()
        await b.leave()

        async def two() -> None:
            assert left(router, "drain") == 2

        await eventually(two)
        await c.leave()
        (cancelled,) = await plane.outcomes(1)
        assert left(router, "full") == 1
        drained.go.set()
        _, *counted = await plane.outcomes(3)
    assert cancelled.usage.estimated
    assert [outcome.usage for outcome in counted] == [Usage(uncached=100, output=50)] * 2


async def test_a_job_that_is_cancelled_drains_nothing(plane: Plane, drained: Gated) -> None:
    async with plane.router(), reading(plane, job="job_1") as reader:
        await reader.has(b"a1")
        await plane.bus.cancel(run_id("acme", "job_1"))
        await upstream_closed(plane)
        (outcome,) = await plane.outcomes(1)
    assert (outcome.status, outcome.usage.estimated) == ("cancelled", True)


async def test_a_provider_that_breaks_in_a_drain_is_settled_by_what_was_seen(plane: Plane, drained: Gated) -> None:
    plane.server.script(events(ROLE, chunk({"content": "a1"}), b": wait\n\n" * 20, then="cut", pause_s=0.1))
    async with plane.router(), reading(plane) as reader:
        await reader.has(b"a1")
        await reader.leave()
        (outcome,) = await plane.outcomes(1)
    assert (outcome.status, outcome.code) == ("error", "upstream")
    assert outcome.usage == Usage(uncached=6, output=1, estimated=True)


async def test_a_reader_that_left_without_reading_does_not_hold_up_the_drain(plane: Plane, drained: Gated) -> None:
    """It granted no more frames, so that the router waits for it when it goes."""
    long = Gated(first=400)
    pieces = [chunk({"content": "x" * 1000}) for _ in range(400)]
    plane.server.script(events(*pieces, chunk({}, "stop"), long.usage, b"data: [DONE]\n\n", pause_s=0.001))
    async with plane.router():
        async with plane.bus.stream(LLM_STREAM, asking("chat"), plane.meta()) as stream:
            await anext(aiter(stream))

            async def written() -> None:
                assert plane.server.under_way == 0

            await eventually(written)
        (outcome,) = await plane.outcomes(1)
    assert (outcome.status, outcome.usage) == ("cancelled", Usage(uncached=100, output=50))


async def test_a_router_that_stops_lets_drains_finish(plane: Plane, drained: Gated) -> None:
    async with plane.router() as router, reading(plane) as reader:
        await reader.has(b"a1")
        await reader.leave()

        async def gone() -> None:
            assert left(router, "drain") == 1

        await eventually(gone)
        asyncio.get_running_loop().call_later(0.2, drained.go.set)
    (outcome,) = await plane.outcomes(1)
    assert (outcome.status, outcome.usage) == ("cancelled", Usage(uncached=100, output=50))
    assert router.exit_code == 0


async def test_a_router_that_stops_ends_drains_in_time_and_settles_each(plane: Plane, drained: Gated) -> None:
    async with plane.router(drain_s=0.5) as router, reading(plane) as a, reading(plane) as b:
        for reader in (a, b):
            await reader.has(b"a1")
            await reader.leave()

        async def gone() -> None:
            assert left(router, "drain") == 2

        await eventually(gone)
    outcomes = await plane.outcomes(2)
    assert [(each.status, each.usage) for each in outcomes] == [
        ("cancelled", Usage(uncached=6, output=2, estimated=True))
    ] * 2
    assert plane.server.under_way == 0


@pytest.mark.parametrize("plane", [{"lease_max_s": 3.0, "expire_every_s": 0.2}], indirect=True)
@pytest.mark.parametrize("phase", ["before the headers", "in the middle", "in a drain"])
async def test_a_router_that_is_killed_leaves_one_charge_by_its_lease(plane: Plane, phase: str) -> None:
    await plane.log_in(usd=1)
    alone(plane, on_disconnect=DRAIN, output_tokens_max=1000)
    plane.server.script(hang() if phase == "before the headers" else Gated().reply)
    plane.rewrite()
    environment = {
        "PENSTOCK_NATS_URL": plane.broker.url,
        "PENSTOCK_MODELS_FILE": "models.yaml",
        "PENSTOCK_CONFIG_DIR": str(plane.folder),
        "PENSTOCK_DATA_DIR": str(plane.folder),
    }
    async with module_process("services.router", environment=environment) as router:
        await router.says('"event":"ready"')
        async with reading(plane) as reader:

            async def under_way() -> None:
                assert plane.server.under_way == 1

            await eventually(under_way)
            if phase != "before the headers":
                await reader.has(b"a1")
            if phase == "in a drain":
                await reader.leave()
            reserved = (await plane.balance()).reserved_nano
            assert reserved > 0
            assert plane.server.under_way == 1
            await router.kill()
            await settled(plane, reserved)
            assert await plane.outcomes(0) == []
