"""Stored responses on a real store: continued on any replica at once, by nobody else."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.kit.clock import SystemClock
from penstock.kit.store import Store
from services.router.protocols.openai_responses.body import ResponsesBody, read_body
from services.router.protocols.openai_responses.history import Segment
from services.router.protocols.part import Text, ToolCall, ToolResult
from services.router.protocols.prompt import Turn
from services.router.responses.state import ResponsesState, StateLimits
from tests.support.valkey_server import ValkeyServer

Json = dict[str, object]


def asking(**fields: object) -> ResponsesBody:
    return read_body(msgspec.json.encode({"model": "m", "input": "Hi"} | fields))


def said(text: str, at: str) -> Json:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": f"msg_{at}", "role": "assistant", "status": "completed", "content": content}


def answered(id: str, *output: Json) -> bytes:
    return msgspec.json.encode({"id": id, "object": "response", "output": output, "status": "completed"})


class Replica:
    """One router's view of the store."""

    def __init__(self, url: str, limits: StateLimits | None = None) -> None:
        self.store = Store(url)
        self.state = ResponsesState(self.store, SystemClock(), limits or StateLimits())

    async def turn(self, id: str, text: str, previous: str = "", *, tenant: str = "acme", **fields: object) -> None:
        """A user's turn and its answer."""
        asked = asking(previous_response_id=previous or None, input=text, **fields)
        body = await self.state.continued(tenant, "user:ann", asked)
        await self.state.save(tenant, "user:ann", body, answered(id, said(f"{text}!", id)), "openai")


@pytest.fixture
async def here(valkey: ValkeyServer) -> AsyncIterator[Replica]:
    replica = Replica(valkey.url)
    yield replica
    await replica.store.close()


@pytest.fixture
async def there(valkey: ValkeyServer) -> AsyncIterator[Replica]:
    replica = Replica(valkey.url)
    yield replica
    await replica.store.close()


async def refusal(replica: Replica, previous: str, *, tenant: str = "acme", subject: str = "user:ann") -> Failure:
    with pytest.raises(Failure) as caught:
        await replica.state.continued(tenant, subject, asking(previous_response_id=previous))
    return caught.value


def texts(body: ResponsesBody) -> list[str]:
    return [part.text for turn in body.prompt().turns for part in turn.parts if isinstance(part, Text)]


async def test_a_response_is_continued_on_another_replica_at_once(here: Replica, there: Replica) -> None:
    await here.turn("resp_1", "One")
    await there.turn("resp_2", "Two", "resp_1")
    await here.turn("resp_3", "Three", "resp_2")
    body = await there.state.continued("acme", "user:ann", asking(previous_response_id="resp_3", input="Four"))
    assert texts(body) == ["One", "One!", "Two", "Two!", "Three", "Three!", "Four"]
    assert [segment.response for segment in body.history] == ["resp_1", "resp_2", "resp_3"]


async def test_one_response_may_be_continued_twice(here: Replica) -> None:
    await here.turn("resp_1", "One")
    await here.turn("resp_a", "Left", "resp_1")
    await here.turn("resp_b", "Right", "resp_1")
    for previous, way in (("resp_a", "Left"), ("resp_b", "Right")):
        body = await here.state.continued("acme", "user:ann", asking(previous_response_id=previous, input="?"))
        assert texts(body) == ["One", "One!", way, f"{way}!", "?"]


async def test_nobody_continues_what_another_tenant_or_user_has_asked(here: Replica) -> None:
    await here.turn("resp_1", "One")
    for failure in (
        await refusal(here, "resp_1", tenant="evil"),
        await refusal(here, "resp_1", subject="user:bob"),
        await refusal(here, "resp_9"),
        await refusal(here, "resp_1:user:ann"),
        await refusal(here, "resp_\x00\n"),
    ):
        assert failure.code is Code.NOT_FOUND
        assert failure.param == "previous_response_id"
        assert failure.detail.startswith("Previous response with id 'resp_")
        assert failure.detail.endswith("' not found.")


async def test_names_that_run_together_are_told_apart(here: Replica) -> None:
    body = asking()
    await here.state.save("acme", "user:a:b", body, answered("resp_1", said("x", "1")), "openai")
    for tenant, subject in (("acme", "user:a"), ("acme:user", "a:b"), ("acme", "user:a:b:resp_1")):
        assert (await refusal(here, "resp_1", tenant=tenant, subject=subject)).code is Code.NOT_FOUND


async def test_a_caller_who_says_so_is_not_stored(here: Replica) -> None:
    await here.turn("resp_1", "One", store=False)
    assert (await refusal(here, "resp_1")).code is Code.NOT_FOUND
    assert await here.store.do("DBSIZE") == 0
    await here.turn("resp_2", "Two", store=None)
    assert len(await here.state.load("acme", "user:ann", "resp_2")) == 1


async def test_calls_and_their_results_are_continued_in_pairs(here: Replica) -> None:
    call: Json = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "look", "arguments": "{}"}
    await here.state.save("acme", "user:ann", asking(), answered("resp_1", call), "openai")
    given = [{"type": "function_call_output", "call_id": "c1", "output": "dry"}]
    asked = asking(previous_response_id="resp_1", input=given, instructions="Be brief.")
    body = await here.state.continued("acme", "user:ann", asked)
    assert body.prompt().turns == (
        Turn("system", (Text("Be brief."),)),
        Turn("user", (Text("Hi"),)),
        Turn("assistant", (ToolCall("c1", "look", "{}"),)),
        Turn("tool", (ToolResult("c1", (Text("dry"),), "look"),)),
    )


async def test_items_are_referred_to_by_their_ids(here: Replica) -> None:
    await here.turn("resp_1", "One")
    given = [{"type": "item_reference", "id": "msg_resp_1"}, {"role": "user", "content": "And?"}]
    body = await here.state.continued("acme", "user:ann", asking(input=given))
    assert texts(body) == ["One!", "And?"]
    await here.state.save("acme", "user:ann", body, answered("resp_2", said("x", "2")), "openai")
    assert texts(await here.state.continued("acme", "user:ann", asking(previous_response_id="resp_2"))) == [
        "One!",
        "And?",
        "x",
        "Hi",
    ]
    assert await here.state.items("acme", "user:bob", ["msg_resp_1"]) == {}
    assert await here.state.items("acme", "user:ann", ["msg_none"]) == {}


async def test_where_an_answer_was_minted_is_kept(here: Replica) -> None:
    await here.turn("resp_1", "One")
    (segment,) = await here.state.load("acme", "user:ann", "resp_1")
    assert (segment.response, segment.endpoint) == ("resp_1", "openai")
    assert isinstance(segment, Segment)


async def test_a_stored_response_is_given_as_it_was(here: Replica, there: Replica) -> None:
    whole = b'{"id":"resp_1","object":"response","odd":{"a" :1.0e3},"output":[]}'
    await here.state.save("acme", "user:ann", asking(), whole, "openai")
    assert await there.state.get("acme", "user:ann", "resp_1") == whole
    for tenant, subject, id in (
        ("evil", "user:ann", "resp_1"),
        ("acme", "user:bob", "resp_1"),
        ("acme", "user:ann", "resp_2"),
    ):
        with pytest.raises(Failure) as caught:
            await there.state.get(tenant, subject, id)
        assert caught.value.code is Code.NOT_FOUND
        assert caught.value.detail == f"Response with id '{id}' not found."


async def test_a_deleted_response_is_gone_with_all_that_goes_on_from_it(here: Replica) -> None:
    await here.turn("resp_1", "One")
    await here.turn("resp_2", "Two", "resp_1")
    for tenant, subject in (("evil", "user:ann"), ("acme", "user:bob")):
        with pytest.raises(Failure):
            await here.state.delete(tenant, subject, "resp_1")
    await here.state.delete("acme", "user:ann", "resp_1")
    assert (await refusal(here, "resp_1")).code is Code.NOT_FOUND
    assert (await refusal(here, "resp_2")).code is Code.NOT_FOUND
    assert await here.state.items("acme", "user:ann", ["msg_resp_1"]) == {}
    with pytest.raises(Failure):
        await here.state.delete("acme", "user:ann", "resp_1")
    await here.state.delete("acme", "user:ann", "resp_2")
    assert await here.store.do("HGET", "penstock:router:responses:{acme}:sizes", "total") == b"0"


async def test_saving_twice_is_saving_once(here: Replica) -> None:
    await here.turn("resp_1", "One")
    total = await here.store.do("HGET", "penstock:router:responses:{acme}:sizes", "total")
    await here.turn("resp_1", "One")
    assert await here.store.do("HGET", "penstock:router:responses:{acme}:sizes", "total") == total
    assert await here.store.do("ZCARD", "penstock:router:responses:{acme}:index") == 1


async def test_every_key_ends_by_itself_and_a_conversation_that_goes_on_lives_on(valkey: ValkeyServer) -> None:
    short, long = Replica(valkey.url, StateLimits(keep_s=5)), Replica(valkey.url, StateLimits(keep_s=500))
    await short.turn("resp_1", "One")
    keys = await short.store.do("KEYS", "*")
    assert isinstance(keys, list) and len(keys) == 4
    for key in keys:
        left = await short.store.do("PTTL", key)
        assert isinstance(left, int) and 0 < left <= 5_000
    await long.turn("resp_2", "Two", "resp_1")
    (key,) = [key for key in keys if b":response:" in key]
    left = await short.store.do("PTTL", key)
    assert isinstance(left, int) and left > 400_000
    await short.store.close()
    await long.store.close()


async def test_one_tenant_takes_only_its_share_and_the_oldest_goes(valkey: ValkeyServer) -> None:
    replica = Replica(valkey.url, StateLimits(tenant_max_bytes=4_000))
    for at in range(10):
        await replica.turn(f"resp_{at}", "x" * 50)
    await replica.turn("resp_other", "One", tenant="other")
    assert len(await replica.state.load("acme", "user:ann", "resp_9")) == 1
    assert (await refusal(replica, "resp_0")).code is Code.NOT_FOUND
    total = await replica.store.do("HGET", "penstock:router:responses:{acme}:sizes", "total")
    assert isinstance(total, bytes) and 0 < int(total) <= 4_000
    assert len(await replica.state.load("other", "user:ann", "resp_other")) == 1
    await replica.store.close()


async def test_a_conversation_that_has_grown_too_large_is_refused_before_it_is_answered(valkey: ValkeyServer) -> None:
    replica = Replica(valkey.url, StateLimits(history_max_bytes=3_000, turns_max=3))
    await replica.turn("resp_1", "x" * 1_000)
    with pytest.raises(Failure) as caught:
        await replica.turn("resp_2", "y" * 1_000, "resp_1")
    assert caught.value.code is Code.TOO_LARGE
    assert caught.value.detail == "a stored conversation holds at most 3000 bytes; say store: false"
    asked = asking(previous_response_id="resp_1", input="y" * 1_000, store=False)
    assert len((await replica.state.continued("acme", "user:ann", asked)).history) == 1
    await replica.turn("resp_a", "a")
    await replica.turn("resp_b", "b", "resp_a")
    await replica.turn("resp_c", "c", "resp_b")
    with pytest.raises(Failure) as caught:
        await replica.turn("resp_d", "d", "resp_c")
    assert (caught.value.code, caught.value.param) == (Code.TOO_LARGE, "previous_response_id")
    assert caught.value.detail == "a stored conversation is at most 3 responses long; say store: false"
    await replica.store.close()


async def test_what_is_too_large_to_be_kept_may_still_be_asked(valkey: ValkeyServer) -> None:
    for limits in (StateLimits(history_max_bytes=2_000), StateLimits(tenant_max_bytes=400)):
        replica = Replica(valkey.url, limits)
        asked = asking(input="x" * 3_000)
        assert await replica.state.continued("acme", "user:ann", asked) is asked
        with pytest.raises(Failure) as caught:
            await replica.state.save("acme", "user:ann", asked, answered("resp_1"), "openai")
        assert caught.value.code is Code.TOO_LARGE
        assert (await refusal(replica, "resp_1")).code is Code.NOT_FOUND
        await replica.store.close()


async def test_large_records_are_kept_too(here: Replica) -> None:
    image = {"type": "input_image", "image_url": "data:image/png;base64," + "QUJD" * 500_000}
    await here.state.save(
        "acme", "user:ann", asking(input=[{"role": "user", "content": [image]}]), answered("resp_1"), "openai"
    )
    body = await here.state.continued("acme", "user:ann", asking(previous_response_id="resp_1"))
    assert body.size.images == 1


async def test_a_lost_store_is_said_and_nothing_is_made_up(valkey: ValkeyServer) -> None:
    replica = Replica(valkey.url)
    replica.store = Store(valkey.url, timeout_s=0.2)
    replica.state = ResponsesState(replica.store, SystemClock(), StateLimits())
    await replica.turn("resp_1", "One")
    await valkey.stop()
    assert (await refusal(replica, "resp_1")).code is Code.UNAVAILABLE
    plain = asking()
    assert await replica.state.continued("acme", "user:ann", plain) is plain
    with pytest.raises(Failure) as caught:
        await replica.state.save("acme", "user:ann", plain, answered("resp_2"), "openai")
    assert caught.value.code is Code.UNAVAILABLE
    await replica.store.close()


async def test_what_another_version_wrote_is_not_found(here: Replica) -> None:
    await here.turn("resp_1", "One")
    keys = await here.store.do("KEYS", "*:response:*")
    assert isinstance(keys, list)
    for damaged in (b"", b"junk", b"x\x9c"):
        await here.store.do("SET", keys[0], damaged)
        assert (await refusal(here, "resp_1")).code is Code.NOT_FOUND
