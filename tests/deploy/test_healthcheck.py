"""The health check of the image, against the health server of the kit."""

import asyncio
import os
import sys
from pathlib import Path

from penstock.kit.health import HealthServer, State

SCRIPT = Path(__file__).parents[2] / "deploy" / "healthcheck.py"


async def check(page: str, port: int) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-IS",
        str(SCRIPT),
        page,
        env={**os.environ, "PENSTOCK_HEALTH_PORT": str(port)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await asyncio.wait_for(process.wait(), 10.0)


async def test_it_passes_while_the_service_says_so_and_fails_when_it_does_not() -> None:
    server = HealthServer(lambda: State(True, "any"), lambda: State(False, "any", ["the broker is away"]), lambda: b"")
    port = await server.start("127.0.0.1", 0)
    try:
        assert await check("live", port) == 0
        assert await check("ready", port) == 1
        assert await check("nothing", port) == 1
    finally:
        await server.close()


async def test_it_fails_when_nobody_listens() -> None:
    server = HealthServer(lambda: State(True, "any"), lambda: State(True, "any"), lambda: b"")
    port = await server.start("127.0.0.1", 0)
    await server.close()
    assert await check("live", port) == 1
