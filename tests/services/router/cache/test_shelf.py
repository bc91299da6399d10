"""The shelf on a real store."""

import asyncio
import time

from penstock.contracts.llm import Usage
from penstock.kit.clock import SystemClock
from penstock.kit.store import Store
from services.router.cache.entry import Entry, Form
from services.router.cache.shelf import NEIGHBOURS_MAX, Shelf
from tests.support.valkey_server import ValkeyServer


def entry(form: Form, body: bytes = b"{}") -> Entry:
    return Entry(form, body, "one", "m", "stop", Usage(uncached=3, output=2), 17, 5.0)


def shelf_of(store: Store, *, timeout_s: float = 5.0, tenant_max_bytes: int = 1_000_000) -> Shelf:
    return Shelf(store, SystemClock(), timeout_s=timeout_s, tenant_max_bytes=tenant_max_bytes)


async def test_what_is_kept_is_found_byte_for_byte_by_its_tenant_alone(valkey: ValkeyServer) -> None:
    store = Store(valkey.url)
    shelf = shelf_of(store)
    kept = entry("whole", b'{"a":\n"\xc3\xa9\x00"}\n\n')
    await shelf.keep("acme", "k", kept, 60)
    assert await shelf.find("acme", "k", "whole") == kept
    assert await shelf.find("acme", "k", "events") == kept
    assert await shelf.find("evil", "k", "whole") is None
    await shelf.keep("acme", "k", entry("events"), 60)
    found = await shelf.find("acme", "k", "events")
    assert found is not None
    assert found.form == "events"
    await store.close()


async def test_what_is_kept_is_forgotten_in_time(valkey: ValkeyServer) -> None:
    store = Store(valkey.url)
    shelf = shelf_of(store)
    await shelf.keep("acme", "brief", entry("whole"), 0.05)
    await shelf.remember("acme", "near-brief", [1.0, 0.0], "brief", 0.05)
    left = [
        await store.do("PTTL", f"penstock:router:cache:{{acme}}:{name}") for name in ("brief:whole", "near:near-brief")
    ]
    assert all(isinstance(each, int) and each <= 50 for each in left)
    await store.close()


async def test_the_most_similar_question_is_found(valkey: ValkeyServer) -> None:
    store = Store(valkey.url)
    shelf = shelf_of(store)
    assert await shelf.nearest("acme", "s", [1.0, 0.0]) == (0.0, "")
    await shelf.remember("acme", "s", [0.0, 2.0], "up", 60)
    await shelf.remember("acme", "s", [3.0, 4.0], "between", 60)
    await shelf.remember("acme", "s", [1.0, 0.0, 0.0], "another model's", 60)
    likeness, key = await shelf.nearest("acme", "s", [1.0, 0.0])
    assert (round(likeness, 6), key) == (0.6, "between")
    assert (await shelf.nearest("evil", "s", [1.0, 0.0]))[1] == ""
    await store.close()


async def test_the_questions_remembered_are_bounded(valkey: ValkeyServer) -> None:
    store = Store(valkey.url)
    shelf = shelf_of(store)
    await asyncio.gather(*[shelf.remember("acme", "many", [1.0], str(n), 60) for n in range(NEIGHBOURS_MAX + 40)])
    assert await store.do("LLEN", "penstock:router:cache:{acme}:near:many") == NEIGHBOURS_MAX
    await store.close()


async def test_what_another_version_wrote_is_not_there(valkey: ValkeyServer) -> None:
    store = Store(valkey.url)
    await store.do("SET", "penstock:router:cache:{acme}:old:whole", b"whatever")
    await store.do("LPUSH", "penstock:router:cache:{acme}:near:old", b"whatever")
    shelf = shelf_of(store)
    assert await shelf.find("acme", "old", "whole") is None
    assert await shelf.nearest("acme", "old", [1.0]) == (0.0, "")
    await store.close()


async def test_without_a_store_nothing_is_found_and_nobody_waits_long() -> None:
    store = Store("redis://127.0.0.1:1/0", timeout_s=5)
    shelf = shelf_of(store, timeout_s=0.1)
    began = time.monotonic()
    await shelf.keep("acme", "k", entry("whole"), 60)
    assert await shelf.find("acme", "k", "whole") is None
    assert await shelf.nearest("acme", "s", [1.0]) == (0.0, "")
    assert time.monotonic() - began < 2
    await store.close()


async def test_a_tenants_answers_take_so_much_and_no_more(valkey: ValkeyServer) -> None:
    store = Store(valkey.url)
    shelf = shelf_of(store, tenant_max_bytes=40_000)
    for number in range(20):
        await shelf.keep("acme", f"k{number}", entry("whole", b"x" * 5_000), 60 + number)
    await shelf.keep("acme", "too large", entry("whole", b"x" * 50_000), 60)
    await shelf.keep("other", "k0", entry("whole", b"x" * 5_000), 60)
    found = [number for number in range(20) if await shelf.find("acme", f"k{number}", "whole")]
    assert found == [15, 16, 17, 18, 19]
    assert await shelf.find("acme", "too large", "whole") is None
    assert await shelf.find("other", "k0", "whole") is not None
    total = await store.do("GET", "penstock:router:cache:{acme}:total")
    assert isinstance(total, bytes)
    assert 35_000 < int(total) <= 40_000
    await store.close()


async def test_an_answer_kept_again_is_counted_once(valkey: ValkeyServer) -> None:
    store = Store(valkey.url)
    shelf = shelf_of(store)
    for _ in range(5):
        await shelf.keep("acme", "again", entry("whole", b"x" * 952), 60)
    assert await store.do("ZCARD", "penstock:router:cache:{acme}:index") == 1
    await store.close()
