"""Accounts in a real store: all or none, settled once, never above a limit, and the fold of the ledger always."""

import asyncio

import pytest

from penstock.contracts.errors import Code, Failure
from penstock.kit.store import Store
from services.policy.money.accounts import Accounts
from services.policy.money.holds import Hold, Reserved, Standing
from services.policy.money.ledger import AS_RESERVED, Balance, Held, Ledger, Spent
from services.policy.money.limits import NO_LIMIT, Limit, Pot, pots
from tests.support.books import TENANT, Books
from tests.support.clock import HandClock
from tests.support.eventually import eventually
from tests.support.valkey_server import ValkeyServer


async def test_a_reservation_counts_in_every_pot_and_says_what_the_narrowest_has_left(books: Books) -> None:
    assert await books.reserve("att_1", 40, tokens=7) == Reserved("reserved", left=20)

    assert await books.used() == [(0, 40, 0, 7), (0, 40, 0, 7)]


async def test_a_reservation_that_one_pot_cannot_hold_is_in_none(books: Books) -> None:
    await books.reserve("att_1", 40)

    assert await books.reserve("att_2", 30) == Reserved("short", pot="user:alice", what="nano", left=20)
    assert await books.used() == [(0, 40, 0, 0), (0, 40, 0, 0)]


async def test_tokens_are_limited_as_dollars_are(books: Books) -> None:
    assert await books.reserve("att_1", 1, tokens=1001) == Reserved("short", "user:alice", "tokens", 1000)
    assert (await books.reserve("att_2", 1, tokens=1000)).state == "reserved"


async def test_what_costs_nothing_passes_a_spent_account(books: Books) -> None:
    await books.reserve("att_1", 60)

    assert (await books.reserve("att_2", 0, tokens=5)).state == "reserved"


async def test_the_same_attempt_asked_again_is_one_reservation_with_one_answer(books: Books) -> None:
    await books.reserve("att_1", 40)

    assert await books.reserve("att_1", 40) == Reserved("held", answer='"att_1"')
    assert await books.used("user:alice") == [(0, 40, 0, 0)]


async def test_the_same_attempt_for_another_question_is_a_conflict(books: Books) -> None:
    await books.reserve("att_1", 40)

    assert await books.reserve("att_1", 1, digest="other") == Reserved("conflict")


async def test_an_outcome_turns_a_reservation_into_what_was_used(books: Books) -> None:
    await books.reserve("att_1", 40, tokens=10)

    assert await books.settle("att_1", 15, 4) == 15
    assert await books.used() == [(15, 0, 4, 0), (15, 0, 4, 0)]


async def test_an_outcome_that_comes_twice_settles_once(books: Books) -> None:
    await books.reserve("att_1", 40)
    await books.settle("att_1", 15)

    assert await books.settle("att_1", 33) == -1
    assert await books.used("user:alice") == [(15, 0, 0, 0)]


async def test_an_outcome_of_unknown_cost_settles_with_what_was_reserved(books: Books) -> None:
    await books.reserve("att_1", 40, tokens=10)

    assert await books.settle("att_1", AS_RESERVED, AS_RESERVED) == 40
    assert await books.used("user:alice") == [(40, 0, 10, 0)]


async def test_a_settled_attempt_cannot_be_reserved_again(books: Books) -> None:
    await books.reserve("att_1", 40)
    await books.settle("att_1", 15)

    assert await books.reserve("att_1", 40) == Reserved("over")


async def test_an_outcome_without_a_reservation_changes_nothing(books: Books) -> None:
    assert await books.settle("att_9", 15) == -1
    assert await books.used() == [(0, 0, 0, 0), (0, 0, 0, 0)]


async def test_a_lease_that_runs_out_counts_as_used(books: Books) -> None:
    await books.reserve("att_1", 40, tokens=10, due_s=60)
    await books.record("att_1", 40, tokens=10, due_s=60)
    books.clock.move(59)
    assert await books.accounts.expire() == []
    books.clock.move(1)

    assert await books.accounts.expire() == ["att_1"]
    assert await books.used("user:alice") == [(40, 0, 10, 0)]
    assert await books.accounts.expire() == []


async def test_an_outcome_after_the_lease_corrects_what_was_counted(books: Books) -> None:
    await books.reserve("att_1", 40, tokens=10, due_s=60)
    await books.record("att_1", 40, tokens=10, due_s=60)
    books.clock.move(61)
    await books.accounts.expire()

    assert await books.settle("att_1", 15, 4) == 15
    assert await books.used("user:alice") == [(15, 0, 4, 0)]
    assert await books.settle("att_1", 15, 4) == -1


async def test_an_expired_attempt_cannot_be_reserved_again(books: Books) -> None:
    await books.reserve("att_1", 40, due_s=60)
    await books.record("att_1", 40, due_s=60)
    books.clock.move(61)
    await books.accounts.expire()

    assert await books.reserve("att_1", 40, due_s=600) == Reserved("over")


async def test_amounts_are_exact_to_the_last_nano_dollar(books: Books) -> None:
    largest = 2**53 - 1
    big = Pot("tenant:acme", "", largest, NO_LIMIT)

    assert await books.reserve("att_1", largest - 1, big) == Reserved("reserved", left=1)
    assert await books.reserve("att_2", 2, big) == Reserved("short", "tenant:acme", "nano", 1)
    assert await books.reserve("att_3", 1, big) == Reserved("reserved", left=0)
    assert await books.used("tenant:acme") == [(0, largest, 0, 0)]


async def test_five_hundred_at_once_never_go_above_one_budget(valkey_url: str) -> None:
    several = [Books(valkey_url) for _ in range(3)]
    budget = Pot("run:r1", "", 1000, NO_LIMIT)

    async def attempt(n: int) -> str:
        books = several[n % 3]
        reserved = await books.reserve(f"att_{n}", 7, TENANT_WITHOUT_END, budget)
        (_, *_), (nano, held, _, _) = await books.used("tenant:acme", "run:r1")
        assert nano + held <= 1000
        if reserved.state == "reserved" and n % 4 == 0:
            await books.settle(f"att_{n}", 3)
        return reserved.state

    states = await asyncio.gather(*(attempt(n) for n in range(500)))

    assert set(states) == {"reserved", "short"}
    more = 0
    while (await several[0].reserve(f"att_more_{more}", 7, TENANT_WITHOUT_END, budget)).state == "reserved":
        more += 1
    nano, held, _, _ = (await several[0].used("run:r1"))[0]
    assert 993 < nano + held <= 1000
    for books in several:
        await books.store.close()


TENANT_WITHOUT_END = Pot("tenant:acme", "", 10**12, NO_LIMIT)


async def test_tenants_do_not_see_one_another(books: Books) -> None:
    await books.reserve("att_1", 40)

    assert await books.accounts.standings("globex", ["tenant:acme", "user:alice"]) == [Standing(Balance())] * 2


async def test_an_empty_store_is_filled_from_the_ledger_before_it_answers(books: Books) -> None:
    books.ledger.pots["user:alice"] = Balance(nano=30, held_nano=20, tokens=3, held_tokens=2)
    books.ledger.held["att_0"] = Held(("user:alice",), 20, 2, books.clock.now() + 60)

    assert await books.reserve("att_1", 20) == Reserved("short", "user:alice", "nano", 10)
    assert await books.settle("att_0", 5, 1) == 5
    assert await books.used("user:alice") == [(35, 0, 4, 0)]
    assert books.folds == 1


async def test_a_store_that_was_emptied_is_not_taken_for_an_unspent_budget(books: Books) -> None:
    await books.reserve("att_1", 40)
    books.ledger.pots["user:alice"] = Balance(nano=40)
    await books.store.do("FLUSHALL")

    assert await books.reserve("att_2", 30) == Reserved("short", "user:alice", "nano", 20)


async def test_a_ledger_that_cannot_be_read_closes_the_accounts(valkey_url: str) -> None:
    async def unreadable(tenant: str) -> Ledger:
        raise Failure(Code.UNAVAILABLE, "the broker cannot be reached")

    store = Store(valkey_url, timeout_s=1.0)
    accounts = Accounts(store, unreadable, HandClock(), timeout_s=1.0, settled_kept_s=900, unrecorded_s=17.0)

    with pytest.raises(Failure) as raised:
        await accounts.reserve("acme", Hold("att_1", "q", 1, 0, 2e9, (TENANT,), b"{}", 1e9))
    assert raised.value.code is Code.UNAVAILABLE
    await store.close()


async def test_a_store_that_was_killed_fails_closed_and_works_again_when_it_is_back(
    books: Books, valkey: ValkeyServer
) -> None:
    await books.reserve("att_1", 40)
    await valkey.kill()

    with pytest.raises(Failure) as raised:
        await books.reserve("att_2", 1)
    assert raised.value.code is Code.UNAVAILABLE
    await valkey.start()

    async def again() -> None:
        try:
            assert (await books.reserve("att_3", 1)).state == "reserved"
        except Failure as failure:
            raise AssertionError from failure

    await eventually(again)
    assert await books.used("user:alice") == [(0, 41, 0, 0)]


async def test_a_store_that_hangs_fails_closed_in_time(books: Books, valkey: ValkeyServer) -> None:
    await books.reserve("att_1", 40)
    valkey.pause()
    began = asyncio.get_running_loop().time()

    with pytest.raises(Failure) as raised:
        await books.reserve("att_2", 1)
    assert raised.value.code is Code.UNAVAILABLE
    assert asyncio.get_running_loop().time() - began < 3
    valkey.resume()


async def test_slots_and_requests_are_taken_with_money_or_not_at_all(books: Books) -> None:
    few = Pot("user:alice", "", 100, NO_LIMIT, 0, 2, 1)

    assert (await books.reserve("att_1", 10, TENANT, few, actions=1)).state == "reserved"
    assert await books.reserve("att_2", 10, TENANT, few, actions=1) == Reserved("short", "user:alice", "slots", 0)
    assert await books.actions("tenant:acme", "user:alice") == [(0, 1, 1), (0, 1, 1)]

    await books.settle("att_1", 5)
    assert await books.actions("tenant:acme", "user:alice") == [(1, 0, 0), (1, 0, 0)]
    assert (await books.reserve("att_3", 10, TENANT, few, actions=1)).state == "reserved"
    await books.settle("att_3", 5)
    assert await books.reserve("att_4", 10, TENANT, few, actions=1) == Reserved("short", "user:alice", "requests", 0)


async def test_what_is_undone_is_no_request(books: Books) -> None:
    await books.reserve("att_1", 10, actions=1)
    assert await books.accounts.undo("acme", "att_1")

    await books.accounts.settle("acme", [Spent("att_1", 0, 0, 0)])
    assert await books.actions("user:alice") == [(0, 0, 0)]


async def test_a_lease_that_runs_out_frees_the_slot_and_keeps_the_request(books: Books) -> None:
    await books.reserve("att_1", 10, due_s=60, actions=1)
    await books.record("att_1", 10, due_s=60, actions=1)
    books.clock.move(61)
    await books.accounts.expire()

    assert await books.actions("user:alice") == [(1, 0, 0)]


async def test_a_clock_that_jumps_counts_on_in_the_window_that_it_is_in(books: Books) -> None:
    """Forward into tomorrow and back again: what was used today is still used, and tomorrow keeps its own."""
    limit = {"user:alice": (Limit(usd="0.00000006", period="day"),)}

    def day() -> Pot:
        return pots([("user:alice", 0, 0)], limit, books.clock.now())[0]

    today = day()
    assert (await books.reserve("att_1", 50, today)).state == "reserved"
    books.clock.move(24 * 3600)
    tomorrow = day()
    assert (await books.reserve("att_2", 40, tomorrow)).state == "reserved"
    books.clock.move(-24 * 3600)

    assert day().name == today.name != tomorrow.name
    assert await books.reserve("att_3", 20, day()) == Reserved("short", today.name, "nano", 10)
    assert await books.used(today.name, tomorrow.name) == [(0, 50, 0, 0), (0, 40, 0, 0)]


async def test_a_clock_that_jumps_far_ahead_ends_leases_and_their_outcomes_correct_it(books: Books) -> None:
    await books.reserve("att_1", 40, due_s=60, actions=1)
    await books.record("att_1", 40, due_s=60, actions=1)
    books.clock.move(12 * 3600)
    assert await books.accounts.expire() == ["att_1"]
    books.clock.move(-12 * 3600)

    assert await books.settle("att_1", 15) == 15
    assert await books.used("user:alice") == [(15, 0, 0, 0)]
    assert await books.actions("user:alice") == [(1, 0, 0)]
