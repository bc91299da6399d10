"""What routers tell one another of deployments, through a real store that may go away."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from penstock.kit.config import Secret
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.store import Store
from services.router.attempts import report
from services.router.attempts.board import Board
from services.router.attempts.sharing import KEY, Sharing
from services.router.choosing.choose import choose
from services.router.choosing.health import BreakerRules
from services.router.choosing.request import Need
from services.router.fault import Fault, FaultKind
from services.router.models.catalogue import Alias
from tests.services.router.conftest import Plane
from tests.support.deployments import deployment
from tests.support.eventually import eventually
from tests.support.model_server import status
from tests.support.valkey_server import ValkeyServer, valkey_server

ONE = deployment("one", rpm=10, keys=("sk-a", "sk-b"))
TWO = deployment("two")
ALIAS = Alias("chat", (ONE, TWO))
RULES = BreakerRules(failures_max=2, rest_s=30.0)


class Router:
    """A board and its share in the talk, on a clock moved by hand."""

    def __init__(self, url: str, name: str, every_s: float = 0.05) -> None:
        self.now = 1000.0
        self.lines: list[str] = []
        self.metrics = Metrics()
        self.board = Board(RULES, lambda: self.now, self.metrics)
        self.store = Store(url, timeout_s=0.2)
        self.sharing = Sharing(self.store, self.board, name, every_s, self.metrics, Log(self.lines.append))

    def fail(self, kind: FaultKind = FaultKind.TRANSIENT, key: int = 0, retry_after_s: float = 0.0) -> None:
        with pytest.raises(Fault), self.board.calling(ONE, key):
            raise Fault(kind, "no", retry_after_s=retry_after_s)

    def use(self, requests: int, tokens: int = 0) -> None:
        for _ in range(requests):
            with self.board.calling(ONE, 0, tokens):
                self.now += 0.1

    def candidates(self) -> list[str]:
        return [each.deployment.name for each in choose(ALIAS, Need("chat"), self.board.standings, self.now).candidates]

    @property
    def shared(self) -> float | None:
        return self.metrics.registry.get_sample_value("penstock_router_health_shared")


@pytest.fixture
async def pair(valkey: ValkeyServer) -> AsyncIterator[tuple[Router, Router]]:
    first, second = Router(valkey.url, "first"), Router(valkey.url, "second")
    yield first, second
    for router in (first, second):
        await router.sharing.close()


async def test_a_breaker_that_opens_in_one_router_rests_in_the_other_as_long(pair: tuple[Router, Router]) -> None:
    first, second = pair
    first.fail()
    first.fail()
    await first.sharing.once()
    await second.sharing.once()
    assert second.candidates() == ["two"]
    second.now += 29.9
    assert second.candidates() == ["two"]
    second.now += 0.1
    assert second.candidates() == ["one", "two"]


async def test_after_the_rest_each_router_sends_one_trial_and_what_was_heard_is_not_told_on(
    pair: tuple[Router, Router],
) -> None:
    first, second = pair
    first.fail()
    first.fail()
    await first.sharing.once()
    await second.sharing.once()
    await second.sharing.once()
    first.now += 30.0
    with first.board.calling(ONE):
        assert first.candidates() == ["two"]
    await first.sharing.once()
    assert first.candidates() == ["one", "two"]
    second.now += 30.0
    with second.board.calling(ONE):
        assert second.candidates() == ["two"]
    assert second.candidates() == ["one", "two"]


async def test_a_key_that_is_limited_in_one_router_is_not_shown_by_the_other(pair: tuple[Router, Router]) -> None:
    first, second = pair
    first.fail(FaultKind.RATE, key=0, retry_after_s=20.0)
    await first.sharing.once()
    await second.sharing.once()
    assert second.board.standings[ONE.id].key(0).resting_until == 1020.0
    assert second.candidates() == ["one", "two"]
    second.fail(FaultKind.KEY, key=1)
    assert second.candidates() == ["two"]


async def test_requests_a_minute_are_counted_over_all_routers(pair: tuple[Router, Router]) -> None:
    first, second = pair
    first.use(6, tokens=100)
    second.use(4)
    assert (first.candidates(), second.candidates()) == (["one", "two"], ["one", "two"])
    await first.sharing.once()
    await second.sharing.once()
    await first.sharing.once()
    assert (first.candidates(), second.candidates()) == (["two"], ["two"])
    assert second.board.standings[ONE.id].used(second.now) == (10.0, 600.0)


async def test_latencies_of_others_stand_in_for_what_was_not_seen(pair: tuple[Router, Router]) -> None:
    first, second = pair
    with first.board.calling(ONE):
        first.now += 2.0
    await first.sharing.once()
    await second.sharing.once()
    assert second.board.standings[ONE.id].wait_s(Need("chat"), second.now) == 2.0


async def test_an_opening_is_told_at_once(valkey: ValkeyServer) -> None:
    first, second = Router(valkey.url, "first", every_s=60.0), Router(valkey.url, "second")
    running = asyncio.create_task(first.sharing.run())

    async def sharing() -> None:
        assert first.shared == 1.0

    await eventually(sharing)
    first.fail()
    first.fail()

    async def heard() -> None:
        await second.sharing.once()
        assert second.candidates() == ["two"]

    await eventually(heard, within_s=2.0)
    running.cancel()
    for router in (first, second):
        await router.sharing.close()


async def test_a_router_that_leaves_is_forgotten_at_once_and_one_that_died_soon(pair: tuple[Router, Router]) -> None:
    first, second = pair
    first.use(6)
    await first.sharing.once()
    await second.sharing.once()
    assert second.board.standings[ONE.id].elsewhere.requests == 6
    second.now += 1.0
    await second.sharing.once()
    assert ONE.id not in second.board.standings
    second.now += 61.0
    await second.sharing.once()
    assert await second.store.do("HKEYS", KEY) == [b"second"]


async def test_a_lost_store_is_said_once_and_each_goes_by_what_it_sees(
    valkey: ValkeyServer, pair: tuple[Router, Router]
) -> None:
    first, second = pair
    first.use(6)
    await first.sharing.once()
    await second.sharing.once()
    assert second.shared == 1.0
    await valkey.kill()
    await second.sharing.once()
    await second.sharing.once()
    assert second.shared == 0.0
    assert ONE.id not in second.board.standings
    assert len([line for line in second.lines if "the store is lost" in line]) == 1
    second.fail()
    second.fail()
    assert second.candidates() == ["two"]
    await valkey.start()

    async def again() -> None:
        await second.sharing.once()
        assert second.shared == 1.0

    await eventually(again)
    assert len([line for line in second.lines if "shared again" in line]) == 1
    await first.sharing.once()
    assert first.candidates() == ["two"]


async def test_a_store_that_hangs_holds_nobody_up(valkey: ValkeyServer) -> None:
    router = Router(valkey.url, "only")
    running = asyncio.create_task(router.sharing.run())

    async def sharing() -> None:
        assert router.shared == 1.0

    await eventually(sharing)
    valkey.pause()
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(50):
        router.use(1)
        router.fail()
        await asyncio.sleep(0)
    assert loop.time() - began < 0.5
    valkey.resume()
    running.cancel()
    await router.sharing.close()


async def test_what_is_no_report_is_ignored(pair: tuple[Router, Router]) -> None:
    first, second = pair
    nonsense = b'{"number": 1, "known": {"one@1": {"requests": "many"}}}'
    far = report.Report(1, {"one@1": report.Known(rests=(report.Rest(5000, "rate", 9), report.Rest(-1, "joke", 9)))})
    for name, raw in (("a", b"\xff"), ("b", nonsense), ("c", b"[" * 100_000), ("d", report._ENCODER.encode(far))):
        await first.store.do("HSET", KEY, name, raw)
    await second.sharing.once()
    assert second.candidates() == ["one", "two"]
    assert second.shared == 1.0


async def test_two_routers_share_what_one_found_and_go_on_when_the_store_is_killed(plane: Plane) -> None:
    async with valkey_server() as valkey:
        shared = partial(
            plane.router,
            breaker_failures_max=2,
            breaker_rest_s=60.0,
            store_url=Secret(valkey.url),
            share_every_s=0.05,
        )
        plane.server.script(status(500), model="one")
        async with shared() as first, shared() as second:
            for _ in range(12):
                assert (await plane.complete()).served.deployment == "two"
            assert plane.server.asked("one") <= 4

            def sharing() -> set[float | None]:
                return {
                    host.metrics.registry.get_sample_value("penstock_router_health_shared") for host in (first, second)
                }

            async def both() -> None:
                assert sharing() == {1.0}

            await eventually(both)
            await valkey.kill()
            began = asyncio.get_running_loop().time()
            for _ in range(10):
                assert (await plane.complete()).served.deployment == "two"
            assert asyncio.get_running_loop().time() - began < 5.0

            async def neither() -> None:
                assert sharing() == {0.0}

            await eventually(neither, within_s=10.0)
            await valkey.start()
            await eventually(both, within_s=10.0)
    assert plane.server.asked("one") <= 4
