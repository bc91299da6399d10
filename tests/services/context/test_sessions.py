"""Conversations in a real store."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from penstock.contracts.context import History, Turn
from penstock.kit.store import Store
from services.context.sessions import SessionLimits, Sessions
from tests.support.eventually import eventually
from tests.support.valkey_server import ValkeyServer


@pytest.fixture
async def store(valkey: ValkeyServer) -> AsyncIterator[Store]:
    store = Store(valkey.url, timeout_s=1.0)
    yield store
    await store.close()


def turn(id: str, text: str = "hello") -> Turn:
    return Turn(id, msgspec.Raw(msgspec.json.encode({"role": "user", "content": text})))


def ids(history: History) -> list[str]:
    return [turn.id for turn in history.turns]


async def test_turns_come_back_in_order_as_they_were(store: Store) -> None:
    sessions = Sessions(store, SessionLimits())
    assert await sessions.append("acme", "s1", [turn("a", "é ☃"), turn("b")]) == 2
    assert await sessions.append("acme", "s1", [turn("c")]) == 3
    history = await sessions.history("acme", "s1", 50)
    assert ids(history) == ["a", "b", "c"]
    assert msgspec.json.decode(history.turns[0].message) == {"role": "user", "content": "é ☃"}
    assert history.dropped == 0


async def test_a_turn_appended_twice_is_one_turn(store: Store) -> None:
    sessions = Sessions(store, SessionLimits())
    await sessions.append("acme", "s1", [turn("a"), turn("b")])
    assert await sessions.append("acme", "s1", [turn("b"), turn("c"), turn("c")]) == 3
    assert ids(await sessions.history("acme", "s1", 50)) == ["a", "b", "c"]


async def test_the_last_turns_come_and_the_rest_is_counted(store: Store) -> None:
    sessions = Sessions(store, SessionLimits())
    await sessions.append("acme", "s1", [turn(str(number)) for number in range(10)])
    history = await sessions.history("acme", "s1", 3)
    assert (ids(history), history.dropped) == (["7", "8", "9"], 7)


async def test_the_oldest_turns_are_dropped_beyond_the_limit_and_do_not_come_back(store: Store) -> None:
    sessions = Sessions(store, SessionLimits(turns_max=3))
    assert await sessions.append("acme", "s1", [turn(str(number)) for number in range(5)]) == 3
    await sessions.append("acme", "s1", [turn("0")])
    history = await sessions.history("acme", "s1", 50)
    assert (ids(history), history.dropped) == (["2", "3", "4"], 2)


async def test_a_session_has_a_limit_of_bytes(store: Store) -> None:
    sessions = Sessions(store, SessionLimits(bytes_max=250))
    assert await sessions.append("acme", "s1", [turn(str(number), "x" * 50) for number in range(5)]) == 2
    assert await sessions.append("acme", "s1", [turn("large", "x" * 1000)]) == 1
    assert ids(await sessions.history("acme", "s1", 50)) == ["large"]


async def test_many_at_once_lose_nothing(store: Store) -> None:
    sessions = Sessions(store, SessionLimits())
    await asyncio.gather(*(sessions.append("acme", "s1", [turn(str(number))]) for number in range(50)))
    history = await sessions.history("acme", "s1", 100)
    assert sorted(ids(history), key=int) == [str(number) for number in range(50)]


async def test_two_tenants_with_the_same_session_see_their_own(store: Store) -> None:
    sessions = Sessions(store, SessionLimits())
    await sessions.append("acme", "s1", [turn("a")])
    assert await sessions.history("globex", "s1", 50) == History([])
    await sessions.append("globex", "s1", [turn("a"), turn("b")])
    assert await sessions.forget("globex", "s1")
    assert ids(await sessions.history("acme", "s1", 50)) == ["a"]


async def test_a_forgotten_session_starts_anew(store: Store) -> None:
    sessions = Sessions(store, SessionLimits())
    await sessions.append("acme", "s1", [turn("a")])
    assert await sessions.forget("acme", "s1")
    assert not await sessions.forget("acme", "s1")
    assert await store.do("KEYS", "*") == []
    assert await sessions.append("acme", "s1", [turn("a")]) == 1


async def test_a_session_is_forgotten_after_its_last_turn(store: Store) -> None:
    sessions = Sessions(store, SessionLimits(keep_s=0.1))
    await sessions.append("acme", "s1", [turn("a")])

    async def nothing_is_left() -> None:
        assert await store.do("KEYS", "*") == []

    await eventually(nothing_is_left)
