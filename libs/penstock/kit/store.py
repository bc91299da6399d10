"""The shared store (Valkey or Redis) as services use it: commands, Lua scripts, one failure when it is not there."""

import hashlib
from collections.abc import Sequence

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError, NoScriptError, RedisError

from penstock.contracts.errors import Code, Failure

Argument = str | bytes | int | float


class Script:
    """A Lua script, known to the store by the sha1 of its text. It runs whole or not at all, alone."""

    __slots__ = ("sha", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


class Store:
    """One pool of connections. Answers are bytes, ints, None, lists of these, and dicts for hashes.

    A command whose connection broke is sent again, and may then have run twice: write what bears it.
    Every method raises Failure(UNAVAILABLE) when the store cannot be reached, is full or is still loading.
    """

    def __init__(self, url: str, *, timeout_s: float = 5.0, connections_max: int = 64) -> None:
        """`url`: redis://[user:password@]host:port/database, or rediss:// for TLS. Nothing is connected yet."""
        self._redis = Redis.from_pool(
            BlockingConnectionPool.from_url(
                url,
                socket_timeout=timeout_s,
                socket_connect_timeout=timeout_s,
                max_connections=connections_max,
                timeout=timeout_s,
                retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 3),
                retry_on_error=[ConnectionError],
            )
        )

    async def do(self, *command: Argument) -> object:
        """One command: `await store.do("GET", key)`."""
        try:
            return await self._send(*command)
        except RedisError as error:
            raise _unavailable() from error

    async def do_all(self, commands: Sequence[tuple[Argument, ...]]) -> list[object]:
        """Several commands in one round trip; others' commands may run in between."""
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for command in commands:
                    pipeline.execute_command(*command)
                answers: list[object] = await pipeline.execute()
        except RedisError as error:
            raise _unavailable() from error
        return answers

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> object:
        """The script with its KEYS and ARGV."""
        try:
            try:
                return await self._send("EVALSHA", script.sha, len(keys), *keys, *arguments)
            except NoScriptError:
                return await self._send("EVAL", script.text, len(keys), *keys, *arguments)
        except RedisError as error:
            raise _unavailable() from error

    async def _send(self, *command: Argument) -> object:
        answer: object = await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]  # redis-py leaves it untyped
        return answer

    async def check(self) -> None:
        """For readiness: returns when the store answers."""
        await self.do("PING")

    async def close(self) -> None:
        """Lets go of every connection."""
        await self._redis.aclose()


def _unavailable() -> Failure:
    return Failure(Code.UNAVAILABLE, "the store cannot be reached", retry_after_s=1.0)
