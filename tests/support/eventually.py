"""Assert, and assert again until it holds or time is up. The only waiting that tests do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(check: Callable[[], Awaitable[T]], within_s: float = 5.0, every_s: float = 0.01) -> T:
    """The first value that `check` returns without an AssertionError; after `within_s` its last error.

    Any other exception is a failure at once.
    """
    deadline = asyncio.get_running_loop().time() + within_s
    while True:
        try:
            return await check()
        except AssertionError:
            if asyncio.get_running_loop().time() >= deadline:
                raise
        await asyncio.sleep(every_s)
