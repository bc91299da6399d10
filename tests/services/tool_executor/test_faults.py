"""An executor that is killed in the middle of a call, as a process of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from penstock.contracts.errors import Code, Failure
from tests.services.tool_executor.conftest import Plane
from tests.support.eventually import eventually
from tests.support.process import ModuleProcess, module_process


@asynccontextmanager
async def executor(plane: Plane) -> AsyncIterator[ModuleProcess]:
    plane.rewrite()
    environment = {
        "PENSTOCK_NATS_URL": plane.broker.url,
        "PENSTOCK_STORE_URL": plane.valkey.url,
        "PENSTOCK_CONFIG_DIR": str(plane.folder),
        "PENSTOCK_DATA_DIR": str(plane.folder),
        "PENSTOCK_LEDGER_LEASE_S": "1",
        "PENSTOCK_DRAIN_S": "5",
    }
    async with module_process("services.tool_executor", environment=environment) as process:
        await process.says('"event":"ready"')
        yield process


async def killed_in_the_middle(plane: Plane) -> None:
    """A call with the key k1 whose executor dies when the site has been asked."""
    plane.site.held = True
    async with executor(plane) as process:
        running = asyncio.create_task(plane.call("send", idempotency_key="k1"))

        async def under_way() -> None:
            assert plane.site.waiting == 1

        await eventually(under_way, within_s=8.0)
        await process.kill()
        running.cancel()
        await asyncio.wait([running])
    plane.site.held = False


async def test_a_call_with_effect_once_is_not_made_again_and_its_outcome_is_said_to_be_unknown(plane: Plane) -> None:
    plane.tool("send", effect="once", http={"method": "POST"})
    await killed_in_the_middle(plane)
    async with plane.executor():
        for _ in range(2):
            with pytest.raises(Failure) as caught:
                await plane.call("send", idempotency_key="k1")
            assert caught.value.code is Code.UNKNOWN_OUTCOME
    assert plane.site.visits == 1


async def test_a_call_that_may_be_repeated_is_made_again_by_another_executor(plane: Plane) -> None:
    plane.tool("send", effect="idempotent", http={"method": "PUT"})
    await killed_in_the_middle(plane)
    async with plane.executor():
        assert (await plane.call("send", idempotency_key="k1")).content == "visit 2"
        assert (await plane.call("send", idempotency_key="k1")).content == "visit 2"


async def test_a_call_under_way_is_finished_before_a_stop(plane: Plane) -> None:
    plane.tool("send", effect="once", http={"method": "POST"})
    plane.site.held = True
    async with executor(plane) as process:
        running = asyncio.create_task(plane.call("send", idempotency_key="k1"))

        async def under_way() -> None:
            assert plane.site.waiting == 1

        await eventually(under_way, within_s=8.0)
        stopping = asyncio.create_task(process.terminate())

        async def said() -> None:
            assert '"event":"stopping"' in process.output

        await eventually(said)
        plane.site.go.set()
        assert (await running).content == "visit 1"
        assert await stopping == 0


async def test_a_bad_tools_file_ends_the_process_with_a_sentence(plane: Plane) -> None:
    plane.tool("send", http={"url": "ftp://example.com/"})
    plane.rewrite()
    environment = {
        "PENSTOCK_NATS_URL": plane.broker.url,
        "PENSTOCK_STORE_URL": plane.valkey.url,
        "PENSTOCK_CONFIG_DIR": str(plane.folder),
    }
    async with module_process("services.tool_executor", environment=environment) as process:
        assert await process.child.exited() == 1
        assert "a URL begins with http:// or https:// and a host, without a user" in process.output
