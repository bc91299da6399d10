"""The wheel: deadlines fire once, not early, at most a tick late, and never after they were cancelled."""

import asyncio
import random

from penstock.bus.wheel import TICK_S, Wheel


async def test_entries_fire_after_their_time_and_at_most_two_ticks_late() -> None:
    wheel, loop = Wheel(), asyncio.get_running_loop()
    late: list[float] = []
    done = asyncio.Event()
    count = 200

    def entry(when: float) -> None:
        def fire() -> None:
            late.append(loop.time() - when)
            if len(late) == count:
                done.set()

        wheel.at(when, fire)

    chance = random.Random(7)
    for _ in range(count):
        entry(loop.time() + chance.uniform(0, 0.5))
    await asyncio.wait_for(done.wait(), 5)
    assert min(late) >= 0
    assert sorted(late)[count // 2] < 2 * TICK_S  # the median: a busy machine may hold some up


async def test_a_cancelled_entry_never_fires_and_leaves_nothing_behind() -> None:
    wheel, loop = Wheel(), asyncio.get_running_loop()
    fired: list[int] = []
    entries = [wheel.at(loop.time() + 0.05, lambda: fired.append(1)) for _ in range(100)]
    for entry in entries:
        entry.cancel()
        entry.cancel()
    assert wheel._slots == {}
    last = asyncio.Event()
    wheel.at(loop.time() + 0.1, last.set)
    await asyncio.wait_for(last.wait(), 2)
    assert fired == []


async def test_what_is_past_fires_on_the_next_tick() -> None:
    wheel, loop = Wheel(), asyncio.get_running_loop()
    fired = asyncio.Event()
    wheel.at(loop.time() - 10, fired.set)
    await asyncio.wait_for(fired.wait(), 1)


async def test_an_idle_wheel_has_no_timer_and_starts_again() -> None:
    wheel, loop = Wheel(), asyncio.get_running_loop()
    for _ in range(2):
        fired = asyncio.Event()
        wheel.at(loop.time() + 0.01, fired.set)
        await asyncio.wait_for(fired.wait(), 1)
        assert wheel._timer is None


async def test_entries_may_make_and_cancel_entries_while_the_wheel_turns() -> None:
    wheel, loop = Wheel(), asyncio.get_running_loop()
    done = asyncio.Event()
    other = wheel.at(loop.time() + 1, done.set)

    def first() -> None:
        other.cancel()
        wheel.at(loop.time(), done.set)

    wheel.at(loop.time(), first)
    await asyncio.wait_for(done.wait(), 0.9)


async def test_a_loop_that_stood_still_fires_everything_that_became_due() -> None:
    wheel, loop = Wheel(), asyncio.get_running_loop()
    fired: list[int] = []
    done = asyncio.Event()
    for n in range(10):
        wheel.at(loop.time() + 0.01 * n, lambda n=n: fired.append(n))  # type: ignore[misc]  # a default binds n
    wheel.at(loop.time() + 0.2, done.set)
    began = loop.time()
    while loop.time() - began < 0.15:
        pass
    await asyncio.wait_for(done.wait(), 2)
    assert sorted(fired) == list(range(10))
