"""Streams that can be come back to: every event once and in order, for whoever made them, and never a false end."""

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis.strategies import integers, lists, sampled_from

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import KeptFrame, KeptOpening, Served, Usage
from penstock.contracts.subjects import LLM_KEPT, LLM_STREAM
from services.router.sse import SseParser
from services.router.streams.numbered import numbered
from tests.services.router.conftest import Plane, asking
from tests.services.router.departing import Departing, Heard, reading, resume
from tests.support.eventually import eventually
from tests.support.gated import DONE, ROLE, Gated
from tests.support.model_server import chunk, error_event, events, hang, streamed
from tests.support.process import module_process


def marked(stream: str, *events: bytes, first: int = 1) -> bytes:
    """Events as their reader gets them."""
    return b"".join(
        event.removesuffix(b"\n\n") + b"\nid: %b:%d\n\n" % (stream.encode(), number)
        for number, event in enumerate(events, first)
    )


ANSWER = (ROLE, *(chunk({"content": word}) for word in ("a0", "a1", "b0", "b1")), chunk({}, "stop"), DONE)


async def left_half_way(plane: Plane, reader: Departing) -> str:
    """The name of the stream, whose reader has left after three events."""
    await reader.has(b"a1")
    await reader.leave()
    return reader.heard.stream


async def test_events_carry_ids_and_the_head_names_the_stream(plane: Plane) -> None:
    gated = Gated()
    gated.go.set()
    plane.server.script(gated.reply)
    async with plane.router(), reading(plane, resumable=True) as reader:
        await reader.has(b"[DONE]")
        heard = reader.heard
        assert heard.text == marked(heard.stream, *ANSWER)
        assert heard.stream.startswith("str_")


async def test_who_does_not_ask_gets_no_ids_and_nothing_is_kept(plane: Plane) -> None:
    plane.server.script(streamed("x"))
    async with plane.router(), reading(plane, headed=True) as reader:
        await reader.has(b"[DONE]")
        assert (reader.heard.stream, b"id: " in reader.heard.text) == ("", False)
        assert await plane.bus.read(LLM_KEPT, tenant="acme") == []


@pytest.mark.parametrize("after", [0, 1, 3])
async def test_a_reader_who_comes_back_gets_the_rest_once_and_follows_to_the_end(plane: Plane, after: int) -> None:
    gated = Gated()
    plane.server.script(gated.reply)
    async with plane.router(), plane.router(), reading(plane, resumable=True) as reader:
        stream = await left_half_way(plane, reader)
        again = Heard()
        coming_back = asyncio.create_task(resume(plane, stream, after, again))

        async def caught_up() -> None:
            assert again.head is not None
            assert again.text == marked(stream, *ANSWER[after:3], first=after + 1)

        await eventually(caught_up)
        gated.go.set()
        await coming_back
        outcomes = await plane.outcomes(2)
    assert again.text == marked(stream, *ANSWER[after:], first=after + 1)
    assert again.end is not None
    assert (again.end.finish, again.end.served.usage) == ("stop", Usage(uncached=100, output=50))
    assert again.head is not None
    assert (again.head.stream, again.head.surface) == (stream, "openai.chat")
    assert sorted((each.status, each.usage.output) for each in outcomes) == [("cancelled", 50), ("ok", 0)]


async def test_a_finished_stream_is_replayed(plane: Plane) -> None:
    gated = Gated()
    gated.go.set()
    plane.server.script(gated.reply)
    async with plane.router(), reading(plane, resumable=True) as reader:
        await reader.has(b"[DONE]")
        stream = reader.heard.stream
        again = await resume(plane, stream, 5)
        nothing = await resume(plane, stream, 7)
    assert again.text == marked(stream, *ANSWER[5:], first=6)
    assert (nothing.text, nothing.end is not None) == (b"", True)


async def test_a_tenant_that_has_too_much_kept_gets_its_streams_all_the_same_and_they_are_not_kept(
    plane: Plane,
) -> None:
    long = "x" * 1100
    plane.server.script(streamed(long), streamed("y"))
    async with plane.router(kept_tenant_max_bytes=1024):
        async with reading(plane, resumable=True) as reader:
            await reader.has(b"[DONE]")
            broken = reader.heard.stream
        assert broken
        with pytest.raises(Failure) as caught:
            await resume(plane, broken, 0)
        assert caught.value.code is Code.OVERLOADED
        assert long.encode() in reader.heard.text


async def test_a_stream_that_failed_fails_for_who_comes_back_too(plane: Plane) -> None:
    plane.server.script(events(ROLE, chunk({"content": "a1"}), error_event("overloaded"), pause_s=0.02))
    async with plane.router(), reading(plane, resumable=True) as reader:
        await reader.has(b"a1")
        stream = reader.heard.stream
        again = Heard()
        with pytest.raises(Failure) as caught:
            await resume(plane, stream, 1, again)
    assert (caught.value.code, caught.value.detail) == (
        Code.UPSTREAM,
        "the provider reported an error in its answer",
    )
    assert again.text == marked(stream, chunk({"content": "a1"}), first=2)
    assert again.end is None


async def test_only_the_user_who_made_it_may_come_back(plane: Plane) -> None:
    gated = Gated()
    gated.go.set()
    plane.server.script(gated.reply)
    async with plane.router(), reading(plane, resumable=True) as reader:
        await reader.has(b"[DONE]")
        stream = reader.heard.stream
        await plane.log_in(subject="user:bob")
        for name in (stream, "str_unknown", "no token.*"):
            with pytest.raises(Failure) as caught:
                await resume(plane, name)
            assert (caught.value.code, caught.value.detail) == (Code.NOT_FOUND, "there is no such stream")


async def test_policy_decides_on_coming_back_as_on_the_model(plane: Plane) -> None:
    gated = Gated()
    gated.go.set()
    plane.server.script(gated.reply)
    async with plane.router(), reading(plane, resumable=True) as reader:
        await reader.has(b"[DONE]")
        await plane.log_in(scopes=("model.embed",))
        with pytest.raises(Failure) as caught:
            await resume(plane, reader.heard.stream)
        decisions = await plane.decisions()
    assert caught.value.code is Code.DENIED
    assert [decision.action for decision in decisions][-1] == "model.complete"


async def test_what_goes_on_for_who_comes_back_ends_when_its_time_is_over(plane: Plane) -> None:
    plane.deployments.clear()
    plane.deploy("chat", "one", on_disconnect={"do": "cancel", "drain_s": 0.3})
    plane.server.script(Gated().reply)
    async with plane.router(), reading(plane, resumable=True) as reader:
        stream = await left_half_way(plane, reader)
        again = Heard()
        with pytest.raises(Failure) as caught:
            await resume(plane, stream, 0, again)
        outcomes = await plane.outcomes(2)
    assert (caught.value.code, caught.value.detail) == (Code.CANCELLED, "the answer was stopped before its end")
    assert again.text == marked(stream, *ANSWER[:3])
    assert Usage(uncached=6, output=2, estimated=True) in [each.usage for each in outcomes]


async def test_where_the_rule_is_to_spool_every_stream_is_kept_as_it_is(plane: Plane) -> None:
    plane.deployments.clear()
    plane.deploy("chat", "one", on_disconnect="spool")
    gated = Gated()
    plane.server.script(gated.reply)
    async with plane.router(), reading(plane, headed=True) as reader:
        stream = await left_half_way(plane, reader)
        assert reader.heard.text == b"".join(ANSWER[:3])
        gated.go.set()
        again = await resume(plane, stream, 3)
    assert again.text == marked(stream, *ANSWER[3:], first=4)


async def test_a_stream_that_is_too_large_to_keep_says_so_where_it_was_cut(plane: Plane) -> None:
    long = [chunk({"content": "x" * 600}) for _ in range(10)]
    rest = b"".join([*long, chunk({}, "stop"), DONE])
    plane.server.script(events(ROLE, chunk({"content": "x"}), rest, pause_s=0.01))
    async with plane.router(kept_stream_max_bytes=2048), reading(plane, resumable=True) as reader:
        await reader.has(b"[DONE]")
        again = Heard()
        with pytest.raises(Failure) as caught:
            await resume(plane, reader.heard.stream, 0, again)
        outcomes = await plane.outcomes(2)
    assert (caught.value.code, caught.value.detail) == (Code.TOO_LARGE, "the answer is too large to be kept whole")
    assert 1 <= again.text.count(b"\nid: ") < 5
    assert sorted((each.status, each.usage.total > 0) for each in outcomes) == [("error", False), ("ok", True)]


async def test_a_piece_that_was_lost_is_never_passed_over(plane: Plane) -> None:
    async with plane.router():
        opening = KeptOpening("user:alice", "chat", "openai.chat", Served("att_1", "one", "one"))
        for frame in (KeptFrame(0, opening=opening), KeptFrame(1, (b"data: 1\n\n",)), KeptFrame(3, (b"data: 3\n\n",))):
            plane.bus.emit_live(LLM_KEPT, frame, tenant="acme", stream="str_1")
        again = Heard()
        with pytest.raises(Failure) as caught:
            await resume(plane, "str_1", 0, again)
    assert (caught.value.code, caught.value.detail) == (Code.UNKNOWN_OUTCOME, "part of the answer was not kept")
    assert again.text == b"data: 1\n\n"


async def test_with_no_room_a_stream_is_answered_all_the_same(plane: Plane) -> None:
    plane.server.script(Gated().reply)
    async with plane.router(kept_streams_max=1), reading(plane, resumable=True) as first:
        await first.has(b"a1")
        async with reading(plane, resumable=True) as second:
            await second.has(b"a1")
            assert (bool(first.heard.stream), second.heard.stream) == (True, "")
            assert second.heard.text == b"".join(ANSWER[:3])


async def test_a_stream_of_a_router_that_was_killed_ends_with_a_failure_within_the_silence(plane: Plane) -> None:
    plane.server.script(Gated().reply)
    plane.rewrite()
    environment = {
        "PENSTOCK_NATS_URL": plane.broker.url,
        "PENSTOCK_MODELS_FILE": "models.yaml",
        "PENSTOCK_CONFIG_DIR": str(plane.folder),
        "PENSTOCK_DATA_DIR": str(plane.folder),
        "PENSTOCK_KEPT_SIGN_S": "0.2",
    }
    async with module_process("services.router", environment=environment) as router:
        await router.says('"event":"ready"')
        async with reading(plane, resumable=True) as reader:
            await reader.has(b"a1")
            stream = reader.heard.stream

            async def kept() -> None:
                pieces = await plane.bus.read(LLM_KEPT, tenant="acme", stream=stream)
                assert sum(len(piece.body.events) for piece in pieces) == 3

            await eventually(kept)
            await router.kill()
            async with plane.router(kept_silence_s=1.0):
                again = Heard()
                began = asyncio.get_running_loop().time()
                with pytest.raises(Failure) as caught:
                    await resume(plane, stream, 1, again)
                took = asyncio.get_running_loop().time() - began
    assert (caught.value.code, caught.value.detail) == (
        Code.UNKNOWN_OUTCOME,
        "the router that was answering was lost",
    )
    assert again.text == marked(stream, *ANSWER[1:3], first=2)
    assert 1.0 <= took < 5.0


async def test_a_silent_provider_is_not_a_lost_router(plane: Plane) -> None:
    plane.deployments["one"]["timeouts"] = {"idle_s": 30, "total_s": 30}
    gated = Gated()
    plane.server.script(gated.reply)
    async with plane.router(kept_silence_s=0.5, kept_sign_s=0.1), reading(plane, resumable=True) as reader:
        stream = await left_half_way(plane, reader)
        coming_back = asyncio.create_task(resume(plane, stream, 3))
        asyncio.get_running_loop().call_later(1.5, gated.go.set)
        again = await coming_back
    assert again.text == marked(stream, *ANSWER[3:], first=4)


async def test_a_resumable_stream_is_asked_for_with_a_head(plane: Plane) -> None:
    plane.server.script(hang())
    request = msgspec.structs.replace(asking("chat"), resumable=True)
    async with plane.router():
        with pytest.raises(Failure) as caught:
            async with plane.bus.stream(LLM_STREAM, request, plane.meta()) as reader:
                await anext(aiter(reader))
    assert (caught.value.code, caught.value.param) == (Code.INVALID, "resumable")


def test_ids_stand_last_and_comments_have_none() -> None:
    frame = b": ping\n\nevent: a\ndata: 1\r\nid: theirs\r\n\r\ndata: 2\n\n"
    shown, kept = numbered(frame, "str_1", 4)
    assert shown == b": ping\n\nevent: a\ndata: 1\r\nid: theirs\nid: str_1:4\n\ndata: 2\nid: str_1:5\n\n"
    assert kept == [b"event: a\ndata: 1\r\nid: theirs\nid: str_1:4\n\n", b"data: 2\nid: str_1:5\n\n"]


@given(
    lists(
        sampled_from(
            [b"data: x\n\n", b"data: x\r\n\r\n", b"event: e\ndata: \xc3\xa9\n\n", b": c\n\n", b"data:\rid: 9\r\r"]
        ),
        max_size=8,
    ),
    integers(1, 1000),
)
def test_a_frame_with_ids_is_the_same_events_with_ids(events: list[bytes], first: int) -> None:
    """However many come in one frame: the events and their data stay, and numbers go up by one."""
    together, kept = numbered(b"".join(events), "str_1", first)
    apart = b""
    number = first
    for event in events:
        shown, one = numbered(event, "str_1", number)
        apart += shown
        number += len(one)
    assert together == apart
    assert [each.rsplit(b":", 1)[1] for each in kept] == [b"%d\n\n" % each for each in range(first, number)]
    parser = SseParser(10_000)
    read = [event.data for event in (*parser.feed(together), *parser.finish())]
    plain = [b"x" if b"x" in e else b"\xc3\xa9" if b"e\n" in e else None if b"c" in e else b"" for e in events]
    assert read == plain
