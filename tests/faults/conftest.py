"""One plane for all tests of a module that only break it and mend it again."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.faults.world import World, world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world(tmp_path_factory.mktemp("faults")) as it:
        yield it
