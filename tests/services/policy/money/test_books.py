"""The store's balances are the fold of the audit stream, whatever died, hung or was cut off, and when."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.kit.config import Secret
from penstock.kit.store import Store
from services.policy.config import Config
from services.policy.money.ledger import Balance, Ledger
from services.policy.money.rebuild import Rebuilder
from tests.services.policy.conftest import Plane, complete
from tests.services.policy.test_faults import without_audit_stream
from tests.support.eventually import eventually
from tests.support.muted import muted
from tests.support.process import ModuleProcess, module_process

SOON = {"store_timeout_s": 0.5, "record_timeout_s": 0.5, "clocks_apart_s": 0.5}
"""What nobody was permitted is given back after one and a half seconds."""
FIELDS = Balance.__struct_fields__


async def folded(plane: Plane) -> Ledger:
    ledger = await Rebuilder(plane.bus, 500).ledger_of("acme")
    ledger.expire(time.time())
    return ledger


async def equal(plane: Plane, within_s: float = 10.0) -> Ledger:
    """Nothing is pending, and each pot is in the store what it is in the stream. Returns the fold."""
    store = Store(plane.valkey.url, timeout_s=1.0)

    async def same() -> Ledger:
        ledger = await folded(plane)
        try:
            assert await store.do("ZCARD", "penstock:{acme}:pending") == 0
            names = await store.do("KEYS", "penstock:{acme}:pot:*")
            assert isinstance(names, list)
            pots = set(ledger.pots) | {name.decode().removeprefix("penstock:{acme}:pot:") for name in names}
            for pot in pots:
                found = await store.do("HMGET", f"penstock:{{acme}}:pot:{pot}", *FIELDS)
                assert isinstance(found, list)
                assert Balance(*(int(one or 0) for one in found)) == ledger.pots.get(pot, Balance()), pot
        except Failure as failure:
            raise AssertionError from failure
        return ledger

    try:
        return await eventually(same, within_s, every_s=0.1)
    finally:
        await store.close()


async def unavailable(asking: Awaitable[object]) -> None:
    with pytest.raises(Failure) as raised:
        await asking
    assert raised.value.code is Code.UNAVAILABLE


async def test_a_reservation_whose_answer_was_lost_is_given_back(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    async with muted(plane.valkey.port) as line:
        url = plane.valkey.url.replace(f":{plane.valkey.port}", f":{line.port}")
        async with plane.policy(store_url=Secret(url), **SOON):
            token = (await plane.authenticate(credential)).token
            await plane.evaluate(complete(100, attempt="att_0"), token)
            line.muted = True
            await unavailable(plane.evaluate(complete(700, attempt="att_1"), token))
            line.muted = False

            assert line.dropped
            assert (await equal(plane)).pots["key:" + credential.split("_")[1]] == Balance(
                held_nano=100, held_requests=1, held_slots=1
            )
            assert (await plane.evaluate(complete(900, attempt="att_2"), token)).decision
            with pytest.raises(Failure) as raised:
                await plane.evaluate(complete(700, attempt="att_1"), token)
            assert raised.value.code is Code.CONFLICT


async def test_one_whose_caller_asks_again_in_time_is_permitted_and_stays(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    question = complete(700, attempt="att_1")
    async with muted(plane.valkey.port) as line:
        url = plane.valkey.url.replace(f":{plane.valkey.port}", f":{line.port}")
        async with plane.policy(store_url=Secret(url), **SOON):
            token = (await plane.authenticate(credential)).token
            await plane.evaluate(complete(100, attempt="att_0"), token)
            line.muted = True
            await unavailable(plane.evaluate(question, token))
            line.muted = False

            assert (await plane.evaluate(question, token)).decision
            assert (await equal(plane)).pots["key:" + credential.split("_")[1]] == Balance(
                held_nano=800, held_requests=2, held_slots=2
            )
            await plane.outcome("att_1", 5)
            await settled_with(plane, 5, held=100)


async def settled_with(plane: Plane, nano: int, held: int) -> None:
    async def heard() -> None:
        assert [(pot.nano, pot.held_nano) for pot in (await equal(plane)).pots.values()] == [(nano, held)]

    await eventually(heard)


async def test_a_store_that_hung_and_ran_the_script_later_is_no_loss(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    async with plane.policy(**SOON):
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(100, attempt="att_0"), token)
        plane.valkey.pause()
        await unavailable(plane.evaluate(complete(700, attempt="att_1"), token))
        plane.valkey.resume()

        assert [pot.held_nano for pot in (await equal(plane)).pots.values()] == [100]


async def test_an_undone_attempt_is_closed_in_the_stream_though_the_store_is_away(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    async with plane.policy(**SOON):
        token = (await plane.authenticate(credential)).token
        await plane.evaluate(complete(100, attempt="att_0"), token)
        await without_audit_stream(plane)
        asking = asyncio.create_task(plane.evaluate(complete(700, attempt="att_1"), token))
        await state_of(plane, "att_1", b"held")
        await plane.valkey.kill()
        await unavailable(asking)
        await plane.bus.prepare()
        await plane.valkey.start()

        async def told() -> None:
            assert [record.id for record in await plane.records() if record.subject == "att_1"][-1:] == [
                "att_1-outcome"
            ]

        await eventually(told, within_s=25.0)
        # the stream was made anew, without att_0: what is in the store of that is no concern here
        await state_of(plane, "att_1", b"settled", within_s=20.0)


async def state_of(plane: Plane, attempt: str, state: bytes, within_s: float = 5.0) -> None:
    store = Store(plane.valkey.url, timeout_s=1.0)

    async def so() -> None:
        with suppress(Failure):
            assert await store.do("HGET", f"penstock:{{acme}}:attempt:{attempt}", "state") == state
            return
        raise AssertionError(attempt)

    try:
        await eventually(so, within_s)
    finally:
        await store.close()


def environment(plane: Plane, **changed: str) -> dict[str, str]:
    return {
        "PENSTOCK_NATS_URL": plane.broker.url,
        "PENSTOCK_STORE_URL": plane.valkey.url,
        "PENSTOCK_DATA_DIR": str(plane.folder),
        "PENSTOCK_STORE_TIMEOUT_S": "1",
        "PENSTOCK_RECORD_TIMEOUT_S": "1",
        "PENSTOCK_CLOCKS_APART_S": "0.5",
        "PENSTOCK_EXPIRE_EVERY_S": "0.2",
        **changed,
    }


async def test_a_policy_killed_before_its_record_leaves_nothing_that_counts(plane: Plane) -> None:
    credential = plane.key(usd=0.000001)
    async with module_process("services.policy", environment=environment(plane)) as process:
        await process.says('"event":"ready"')
        token = (await plane.authenticate(credential)).token
        await plane.balances(token)  # the store is filled, with nothing
        await without_audit_stream(plane)
        asking = asyncio.create_task(plane.evaluate(complete(700, attempt="att_1"), token))
        await state_of(plane, "att_1", b"held")
        await process.kill()
        asking.cancel()
        await asyncio.wait([asking])
    await plane.bus.prepare()
    async with plane.policy(**SOON):
        assert (await equal(plane)).pots == {}
        assert (await plane.evaluate(complete(1000), token)).decision


async def test_a_policy_killed_after_its_record_leaves_what_the_record_says(plane: Plane) -> None:
    """Whether the answer arrived nobody knows: it is held until its lease is over, and then counts as used."""
    credential = plane.key(usd=0.000001)
    async with module_process("services.policy", environment=environment(plane)) as process:
        await process.says('"event":"ready"')
        token = (await plane.authenticate(credential)).token
        asking = asyncio.create_task(plane.evaluate(complete(700, attempt="att_1", due_s=4), token))

        async def stored() -> None:
            assert [record.attempt for record in await plane.decisions()] == ["att_1"]

        await eventually(stored)
        await process.kill()
        asking.cancel()
        await asyncio.wait([asking])
    async with plane.policy(**SOON):
        await settled_with(plane, 0, held=700)
        await settled_with(plane, 700, held=0)


class Storm:
    """Callers that ask without end, settle some of what they are permitted, and ask again for what is not answered."""

    def __init__(self, plane: Plane, token: str, chance: random.Random) -> None:
        self._plane = plane
        self.token = token
        self._chance = chance
        self.permitted = 0
        self.over = asyncio.Event()

    async def caller(self) -> None:
        while not self.over.is_set():
            attempt = new_id("att")
            for _ in range(3):
                answer = await self._ask(attempt)
                if answer is not None:
                    break
            if answer and self._chance.random() < 0.7:
                with suppress(Failure):
                    await self._plane.outcome(attempt, self._chance.randrange(80))

    async def _ask(self, attempt: str) -> bool | None:
        question = complete(self._chance.randrange(1, 80), attempt=attempt, due_s=3)
        try:
            permitted = (await self._plane.evaluate(question, self.token)).decision
        except Failure as failure:
            return None if failure.code in {Code.UNAVAILABLE, Code.DEADLINE} else False
        self.permitted += permitted
        return permitted

    async def calm(self, more: int = 40) -> None:
        """Some more were permitted."""
        enough = self.permitted + more

        async def so() -> None:
            assert self.permitted >= enough

        await eventually(so, 30.0)


async def weathered(plane: Plane, blows: Callable[[Storm, ModuleProcess, random.Random], Awaitable[None]]) -> None:
    """Many callers while the blows fall; then the books are equal, and no budget was overspent."""
    chance = random.Random(20261124)
    credential = plane.key(usd=1)
    async with module_process("services.policy", environment=environment(plane)) as process:
        await process.says('"event":"ready"')
        storm = Storm(plane, (await plane.authenticate(credential)).token, chance)
        callers = [asyncio.create_task(storm.caller()) for _ in range(8)]
        try:
            await blows(storm, process, chance)
        finally:
            storm.over.set()
            await asyncio.gather(*callers)
        ledger = await equal(plane, within_s=60.0)
        assert all(pot.held_nano == 0 for pot in ledger.pots.values()) or ledger.held


@pytest.mark.long
@pytest.mark.timeout(120)
async def test_the_books_are_equal_after_policy_was_killed_again_and_again(plane: Plane) -> None:
    async def blows(storm: Storm, process: ModuleProcess, chance: random.Random) -> None:
        for _ in range(5):
            await storm.calm(chance.randrange(5, 60))
            await process.kill()
            process.start()

    await weathered(plane, blows)


@pytest.mark.timeout(120)
async def test_the_books_are_equal_after_the_store_was_killed_and_paused_again_and_again(plane: Plane) -> None:
    async def blows(storm: Storm, process: ModuleProcess, chance: random.Random) -> None:
        for turn in range(6):
            await storm.calm(chance.randrange(5, 60))
            if turn % 2:
                await plane.valkey.kill()
                await plane.valkey.start()
            else:
                plane.valkey.pause()
                await unavailable(plane.evaluate(complete(1), storm.token))
                plane.valkey.resume()

    await weathered(plane, blows)


def test_a_question_has_to_be_recorded_before_it_is_given_back() -> None:
    config = Config()

    assert (config.patience_s, config.unrecorded_s) == (7.0, 17.0)
