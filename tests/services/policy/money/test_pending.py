"""Reservations whose decision was not heard yet: given back, kept, or held again, as the audit stream has it."""

import pytest

from services.policy.money.holds import Reserved
from services.policy.money.ledger import Balance
from tests.support.books import Books


async def give_back(books: Books) -> list[str]:
    """All of the stream was heard by now."""
    return await books.accounts.give_back("acme", books.clock.now())


async def test_what_was_never_recorded_is_given_back_and_does_not_count_as_used(books: Books) -> None:
    await books.reserve("att_1", 40, tokens=7)
    books.clock.move(16)
    assert (await books.accounts.overdue(), await give_back(books)) == ([], [])
    books.clock.move(2)

    assert await books.accounts.overdue() == ["acme"]
    assert await give_back(books) == ["att_1"]
    assert await books.used() == [(0, 0, 0, 0), (0, 0, 0, 0)]
    assert (await books.accounts.overdue(), await books.accounts.expire()) == ([], [])


async def test_nothing_is_given_back_before_the_stream_was_heard_so_far(books: Books) -> None:
    await books.reserve("att_1", 40)
    asked = books.clock.now()
    books.clock.move(3600)

    assert await books.accounts.expire() == []
    assert await books.accounts.give_back("acme", asked + 16) == []
    assert await books.used("user:alice") == [(0, 40, 0, 0)]


async def test_what_was_recorded_is_not_given_back(books: Books) -> None:
    await books.reserve("att_1", 40)
    await books.record("att_1", 40)
    books.clock.move(59)

    assert await give_back(books) == []
    assert await books.used("user:alice") == [(0, 40, 0, 0)]


async def test_an_attempt_asked_again_has_its_full_time_again(books: Books) -> None:
    """The first answer never came; the caller asks the same again, is permitted, and the record is on its way."""
    await books.reserve("att_1", 40)
    books.clock.move(17)
    assert await books.reserve("att_1", 40) == Reserved("held", answer='"att_1"')

    books.clock.move(5)
    assert await give_back(books) == []
    await books.record("att_1", 40)
    books.clock.move(30)
    assert await give_back(books) == []
    assert await books.settle("att_1", 15) == 15


async def test_an_attempt_that_was_given_back_is_over(books: Books) -> None:
    await books.reserve("att_1", 40)
    books.clock.move(18)
    await give_back(books)

    assert await books.reserve("att_1", 40) == Reserved("over")


async def test_a_decision_heard_after_all_holds_again_and_is_settled_once(books: Books) -> None:
    await books.reserve("att_1", 40, tokens=7)
    books.clock.move(18)
    await give_back(books)

    await books.record("att_1", 40, tokens=7)
    await books.record("att_1", 40, tokens=7)
    assert await books.used("user:alice") == [(0, 40, 0, 7)]
    assert await books.settle("att_1", 15, 2) == 15
    await books.record("att_1", 40, tokens=7)
    assert await books.used("user:alice") == [(15, 0, 2, 0)]


async def test_an_outcome_heard_before_its_decision_settles_what_was_given_back(books: Books) -> None:
    await books.reserve("att_1", 40)
    books.clock.move(18)
    await give_back(books)

    assert await books.settle("att_1", 15) == 15
    await books.record("att_1", 40)
    assert await books.used("user:alice") == [(15, 0, 0, 0)]


async def test_an_undone_attempt_is_over_at_once_and_held_until_the_stream_says_what_became_of_it(books: Books) -> None:
    """Were it free before, its record, should it still come, would stand above the limit with who took its place."""
    await books.reserve("att_1", 40)

    assert await books.accounts.undo("acme", "att_1")
    assert await books.reserve("att_1", 40) == Reserved("over")
    assert await books.accounts.undo("acme", "att_1")
    assert await books.reserve("att_2", 30) == Reserved("short", "user:alice", "nano", 20)
    await books.record("att_1", 40)
    assert await books.used("user:alice") == [(0, 40, 0, 0)]
    await books.settle("att_1", 0)
    assert await books.used("user:alice") == [(0, 0, 0, 0)]


async def test_an_undone_attempt_without_a_record_is_given_back_when_there_can_be_none(books: Books) -> None:
    await books.reserve("att_1", 40)
    await books.accounts.undo("acme", "att_1")
    books.clock.move(20)

    assert await books.accounts.give_back("acme", books.clock.now()) == ["att_1"]
    assert await books.used("user:alice") == [(0, 0, 0, 0)]


async def test_an_attempt_asked_twice_is_not_undone_by_one_of_them(books: Books) -> None:
    await books.reserve("att_1", 40)
    await books.reserve("att_1", 40)

    assert not await books.accounts.undo("acme", "att_1")
    assert await books.used("user:alice") == [(0, 40, 0, 0)]


async def test_a_recorded_attempt_that_is_undone_is_left_to_its_outcome(books: Books) -> None:
    await books.reserve("att_1", 40)
    await books.record("att_1", 40)

    assert await books.accounts.undo("acme", "att_1")
    assert await books.used("user:alice") == [(0, 40, 0, 0)]
    assert await books.settle("att_1", 0) == 0


async def test_a_decision_recorded_with_other_accounts_than_first_reserved_counts_there(books: Books) -> None:
    await books.reserve("att_1", 40)
    await books.record("att_1", 30, "tenant:acme", "user:alice@2026-11")

    assert await books.used("tenant:acme", "user:alice", "user:alice@2026-11") == [
        (0, 30, 0, 0),
        (0, 0, 0, 0),
        (0, 30, 0, 0),
    ]


@pytest.mark.parametrize(("sequence", "late_s", "held"), [(8, 10, 40), (7, 10, 0), (8, 18, 0)])
async def test_a_decision_recorded_while_the_store_was_emptied_and_filled_is_not_lost(
    books: Books, sequence: int, late_s: float, held: int
) -> None:
    """Above what was folded, and soon after; anything else that the store does not know is long over."""
    await books.reserve("att_1", 40)
    await books.store.do("FLUSHALL")
    books.ledger.sequence = 7
    books.ledger.pots["user:alice"] = Balance(nano=3)
    assert await books.used("user:alice") == [(3, 0, 0, 0)]
    books.clock.move(late_s)
    books.sequence = sequence - 1

    await books.record("att_1", 40)
    assert await books.used("user:alice") == [(3, held, 0, 0)]


async def test_more_than_one_group_is_given_back_at_once(books: Books) -> None:
    for number in range(450):
        await books.reserve(f"att_{number}", 0, tokens=1)
    books.clock.move(18)

    assert len(await give_back(books)) == 450
    assert await books.used("user:alice") == [(0, 0, 0, 0)]
