"""The call ledger on a real store."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.tools import ToolResult
from penstock.kit.store import Store
from services.tool_executor.ledger import Call, Claim, Ledger, LedgerLimits
from tests.support.eventually import eventually
from tests.support.valkey_server import ValkeyServer

CALL = Call("acme", "key-1", "weather:abc", "once")
SHORT = LedgerLimits(lease_s=0.15)


@pytest.fixture
async def store(valkey: ValkeyServer) -> AsyncIterator[Store]:
    store = Store(valkey.url, timeout_s=1.0)
    yield store
    await store.close()


async def claimed(ledger: Ledger, call: Call, wait_s: float = 1.0) -> Claim:
    claim = await ledger.begin(call, wait_s)
    assert isinstance(claim, Claim)
    return claim


async def refused(ledger: Ledger, call: Call, wait_s: float = 1.0) -> Code:
    with pytest.raises(Failure) as caught:
        await ledger.begin(call, wait_s)
    return caught.value.code


async def test_the_same_key_gets_the_stored_answer(store: Store) -> None:
    ledger = Ledger(store, LedgerLimits())
    await ledger.settle(await claimed(ledger, CALL), ToolResult("sunny", media_type="text/x"))
    assert await ledger.begin(CALL, 1.0) == ToolResult("sunny", media_type="text/x", replayed=True)


async def test_the_same_key_with_other_arguments_is_a_conflict(store: Store) -> None:
    ledger = Ledger(store, LedgerLimits())
    await ledger.settle(await claimed(ledger, CALL), ToolResult("sunny"))
    assert await refused(ledger, Call("acme", "key-1", "weather:other", "once")) is Code.CONFLICT


async def test_another_tenants_key_is_another_key(store: Store) -> None:
    ledger = Ledger(store, LedgerLimits())
    await ledger.settle(await claimed(ledger, CALL), ToolResult("sunny"))
    await claimed(ledger, Call("globex", "key-1", "weather:abc", "once"))


async def test_a_call_in_flight_elsewhere_is_waited_for(store: Store) -> None:
    here, there = Ledger(store, LedgerLimits()), Ledger(store, LedgerLimits())
    claim = await claimed(here, CALL)
    waiting = asyncio.create_task(there.begin(CALL, 5.0))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    await here.settle(claim, ToolResult("sunny"))
    assert await waiting == ToolResult("sunny", replayed=True)


async def test_waiting_ends_at_the_deadline(store: Store) -> None:
    ledger = Ledger(store, LedgerLimits())
    await claimed(ledger, CALL)
    assert await refused(ledger, CALL, wait_s=0.1) is Code.DEADLINE


async def test_of_many_at_once_one_runs_and_all_get_its_answer(store: Store) -> None:
    ledgers = [Ledger(store, LedgerLimits()) for _ in range(20)]
    ran = 0

    async def one(ledger: Ledger) -> ToolResult:
        nonlocal ran
        claim = await ledger.begin(CALL, 5.0)
        if isinstance(claim, ToolResult):
            return claim
        ran += 1
        await ledger.settle(claim, ToolResult("sunny"))
        return ToolResult("sunny")

    results = await asyncio.gather(*map(one, ledgers))
    assert ran == 1
    assert {result.content for result in results} == {"sunny"}


async def test_an_executor_that_died_leaves_an_unknown_outcome_for_a_tool_with_effect_once(store: Store) -> None:
    await claimed(Ledger(store, SHORT), CALL)
    assert await refused(Ledger(store, SHORT), CALL, wait_s=2.0) is Code.UNKNOWN_OUTCOME
    assert await refused(Ledger(store, SHORT), CALL) is Code.UNKNOWN_OUTCOME


@pytest.mark.parametrize("effect", ["read", "idempotent"])
async def test_an_executor_that_died_is_succeeded_for_what_may_be_repeated(store: Store, effect: str) -> None:
    call = Call("acme", "key-1", "weather:abc", "read" if effect == "read" else "idempotent")
    dead, alive = Ledger(store, SHORT), Ledger(store, SHORT)
    old = await claimed(dead, call)
    new = await claimed(alive, call, wait_s=2.0)
    await dead.settle(old, ToolResult("from the dead"))
    await alive.settle(new, ToolResult("from the living"))
    assert await alive.begin(call, 1.0) == ToolResult("from the living", replayed=True)


async def test_a_living_executor_keeps_its_lease(store: Store) -> None:
    longer = LedgerLimits(lease_s=1.0)
    ledger = Ledger(store, longer)
    renewing = asyncio.create_task(ledger.renew_for_ever())
    claim = await claimed(ledger, CALL)
    assert await refused(Ledger(store, longer), CALL, wait_s=2.0) is Code.DEADLINE
    await ledger.settle(claim, ToolResult("late"))
    assert await ledger.begin(CALL, 1.0) == ToolResult("late", replayed=True)
    renewing.cancel()


async def test_a_freed_key_starts_anew(store: Store) -> None:
    ledger = Ledger(store, LedgerLimits())
    await ledger.free(await claimed(ledger, CALL))
    await claimed(ledger, CALL)


async def test_a_call_given_up_is_unknown_for_good(store: Store) -> None:
    ledger = Ledger(store, LedgerLimits())
    await ledger.give_up(await claimed(ledger, CALL))
    assert await refused(ledger, CALL) is Code.UNKNOWN_OUTCOME


async def test_somebody_elses_claim_can_neither_be_settled_nor_freed(store: Store) -> None:
    ledger = Ledger(store, LedgerLimits())
    claim = await claimed(ledger, CALL)
    stranger = Claim(claim.entry, "own_stranger", 60.0)
    await ledger.settle(stranger, ToolResult("forged"))
    await ledger.free(stranger)
    await ledger.settle(claim, ToolResult("sunny"))
    assert await ledger.begin(CALL, 1.0) == ToolResult("sunny", replayed=True)


async def test_an_older_epoch_of_a_run_is_refused(store: Store) -> None:
    ledger = Ledger(store, LedgerLimits())

    def of(epoch: int, key: str, tenant: str = "acme", run: str = "run_1") -> Call:
        return Call(tenant, key, "d", "read", run, epoch)

    await claimed(ledger, of(7, "a"))
    await claimed(ledger, of(7, "b"))
    await claimed(ledger, of(9, "c"))
    assert await refused(ledger, of(7, "d")) is Code.CONFLICT
    assert await refused(ledger, of(0, "e")) is Code.CONFLICT
    await claimed(ledger, of(1, "f", run="run_2"))
    await claimed(ledger, of(1, "g", tenant="globex"))


async def test_an_older_epoch_does_not_even_get_the_stored_answer(store: Store) -> None:
    ledger = Ledger(store, LedgerLimits())
    old = Call("acme", "key-1", "d", "read", "run_1", 3)
    await ledger.settle(await claimed(ledger, old), ToolResult("sunny"))
    await claimed(ledger, Call("acme", "key-2", "d", "read", "run_1", 4))
    assert await refused(ledger, old) is Code.CONFLICT


async def test_a_call_without_a_key_checks_its_epoch_and_keeps_nothing(store: Store) -> None:
    ledger = Ledger(store, LedgerLimits())
    claim = await claimed(ledger, Call("acme", "", "d", "read", "run_1", 5))
    await ledger.settle(claim, ToolResult("sunny"))
    assert await store.do("KEYS", "*") == [b"penstock:tool:epoch:acme:run_1"]
    assert await refused(ledger, Call("acme", "", "d", "read", "run_1", 4)) is Code.CONFLICT


async def test_a_waiter_that_goes_away_leaves_nothing_behind(store: Store, valkey: ValkeyServer) -> None:
    ledger = Ledger(store, LedgerLimits())
    valkey.pause()
    asking = asyncio.create_task(ledger.begin(CALL, 5.0))
    await asyncio.wait([asking], timeout=0.1)
    asking.cancel()
    valkey.resume()
    await asyncio.wait([asking])
    await claimed(Ledger(store, LedgerLimits()), CALL, wait_s=2.0)


async def test_entries_go_away_by_themselves(store: Store) -> None:
    ledger = Ledger(store, LedgerLimits(keep_s=0.2, once_keep_s=60.0, epoch_keep_s=0.2))
    read = Call("acme", "key-2", "d", "read", "run_1", 1)
    await ledger.settle(await claimed(ledger, read), ToolResult("x"))
    await ledger.settle(await claimed(ledger, CALL), ToolResult("y"))

    async def only_once_is_left() -> None:
        assert await store.do("DBSIZE") == 1

    await eventually(only_once_is_left)
    assert await ledger.begin(CALL, 1.0) == ToolResult("y", replayed=True)


async def test_without_the_store_nothing_is_begun(store: Store, valkey: ValkeyServer) -> None:
    await valkey.kill()
    ledger = Ledger(store, LedgerLimits())
    assert await refused(ledger, CALL, wait_s=30.0) is Code.UNAVAILABLE


async def test_an_answer_survives_a_restart_of_the_store(store: Store, valkey: ValkeyServer) -> None:
    ledger = Ledger(store, LedgerLimits())
    await ledger.settle(await claimed(ledger, CALL), ToolResult("sunny"))
    await valkey.kill()
    await valkey.start()
    assert await ledger.begin(CALL, 5.0) == ToolResult("sunny", replayed=True)
