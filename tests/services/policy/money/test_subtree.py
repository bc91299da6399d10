"""Carved budgets: whatever a tree of runs asks for, no run and all below it together use more than it was given."""

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.policy.money.limits import NO_LIMIT, Pot
from tests.support.books import Books
from tests.support.valkey_server import ValkeyServer, valkey_server

Spend = tuple[int, int, int]
"""Which run, how much it reserves, and how much of it is used (in tenths; -1: never told, so the lease ends)."""
TREES = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 100)), min_size=1, max_size=7)
SPENDS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, 60), st.integers(-1, 10)), min_size=5, max_size=40)


def lineage(parents: list[int], run: int) -> list[int]:
    """The run and all above it, outermost first."""
    return [run] if run == 0 else [*lineage(parents, parents[run]), run]


async def play(server: ValkeyServer, tree: list[tuple[int, int]], spends: list[Spend]) -> None:
    books = Books(server.url)
    try:
        await books.store.do("FLUSHALL")
        parents = [min(above, max(0, run - 1)) for run, (above, _) in enumerate(tree)]
        limits = [limit for _, limit in tree]
        used = [0] * len(tree)

        async def spend(number: int, one: Spend) -> None:
            run, nano, tenths = one[0] % len(tree), one[1], one[2]
            above = lineage(parents, run)
            pots = [Pot(f"run:r{each}", "", limits[each], NO_LIMIT) for each in above]
            if (await books.reserve(f"att_{number}", nano, *pots)).state != "reserved":
                return
            if tenths < 0:
                await books.record(f"att_{number}", nano, *(pot.name for pot in pots))
            else:
                await books.settle(f"att_{number}", nano * tenths // 10)
            for each in above:
                used[each] += nano if tenths < 0 else nano * tenths // 10

        await asyncio.gather(*(spend(number, one) for number, one in enumerate(spends)))
        books.clock.move(100)
        await books.accounts.expire()
        assert all(amount <= limit for amount, limit in zip(used, limits, strict=True))
        counted = await books.used(*(f"run:r{run}" for run in range(len(tree))))
        assert counted == [(amount, 0, 0, 0) for amount in used]
    finally:
        await books.store.close()


def test_a_subtree_uses_no_more_than_was_carved_for_it() -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(TREES, SPENDS)
    def any_tree(tree: list[tuple[int, int]], spends: list[Spend]) -> None:
        runner.run(play(server, tree, spends))

    with asyncio.Runner() as runner:
        context = valkey_server()
        server = runner.run(context.__aenter__())
        try:
            any_tree()
        finally:
            runner.run(context.__aexit__(None, None, None))
