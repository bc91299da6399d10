"""Answers out of the cache, over the bus: decided, recorded and free, and never for anybody else."""

import asyncio

import msgspec
import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import Completion, CompletionRequest, Usage
from penstock.contracts.subjects import LLM_COMPLETE, LLM_STREAM
from penstock.kit.config import Secret
from tests.services.router.conftest import Plane, Streamed, asking
from tests.support.model_server import Line, Received, Reply, plain, streamed


@pytest.fixture
def keeping(plane: Plane) -> Plane:
    """`chat` keeps answers."""
    plane.aliases["chat"] = {"deployments": ["one", "two"], "cache": {}}
    plane.config = msgspec.structs.replace(plane.config, store_url=Secret(plane.valkey.url))
    return plane


async def ask(plane: Plane, words: str = "Say hello.", cache: str = "", **fields: object) -> Completion:
    body = {"model": "chat", "messages": [{"role": "user", "content": words}]} | fields
    request = CompletionRequest("chat", msgspec.Raw(msgspec.json.encode(body)), cache=cache)
    return await plane.bus.call(LLM_COMPLETE, request, plane.meta())


async def stream(plane: Plane, cache: str = "") -> Streamed:
    seen = Streamed()
    request = msgspec.structs.replace(asking("chat", stream_options={"include_usage": True}), cache=cache, headed=True)
    async with plane.bus.stream(LLM_STREAM, request, plane.meta()) as reader:
        async for frame in reader:
            seen.frames.append(bytes(frame))
        seen.end = reader.end
    return seen


def late(reply: Reply, delay_s: float) -> Reply:
    async def answer(line: Line, request: Received) -> None:
        await asyncio.sleep(delay_s)
        await reply(line, request)

    return answer


async def test_the_same_again_is_answered_without_a_provider_and_costs_nothing(keeping: Plane) -> None:
    keeping.server.script(plain("Hello!", prompt=100, output=5))
    async with keeping.router():
        first = await ask(keeping)
        again = await ask(keeping)
        outcomes = await keeping.outcomes(2)
    assert again.body == first.body
    assert (again.served.cached, again.served.cost_nano, again.served.usage) == ("exact", 0, Usage())
    assert (first.served.cached, first.served.cost_nano) == ("", 100 * 2_000 + 5 * 10_000)
    assert len(keeping.server.received) == 1
    assert [(each.cached, each.saved_nano, each.cost_nano) for each in outcomes] == [
        ("", 0, 250_000),
        ("exact", 250_000, 0),
    ]


async def test_another_user_gets_an_answer_of_its_own(keeping: Plane) -> None:
    async with keeping.router():
        await ask(keeping)
        mine = keeping.token
        await keeping.log_in(subject="user:bob")
        assert (await ask(keeping)).served.cached == ""
        keeping.token = mine
        assert (await ask(keeping)).served.cached == "exact"
    assert len(keeping.server.received) == 2


async def test_another_question_is_asked(keeping: Plane) -> None:
    async with keeping.router():
        await ask(keeping)
        assert (await ask(keeping, "Say goodbye.")).served.cached == ""
        assert (await ask(keeping, temperature=0.2)).served.cached == ""


async def test_an_answer_that_came_whole_is_streamed_and_the_other_way_round(keeping: Plane) -> None:
    keeping.server.script(plain("Hello!"))
    async with keeping.router():
        await ask(keeping)
        seen = await stream(keeping)
        assert seen.end is not None
        assert seen.end.served.cached == "exact"
        assert b'"content":"Hello!"' in seen.text
        assert seen.text.endswith(b"data: [DONE]\n\n")
        keeping.server.script(streamed("Good", "bye"))
        await stream(keeping, "refresh")
        again = await ask(keeping)
    assert (again.served.cached, b"Hello!" in bytes(again.body)) == ("exact", True)
    assert len(keeping.server.received) == 2


async def test_a_stream_is_kept_byte_for_byte(keeping: Plane) -> None:
    keeping.server.script(streamed("Hel", "lo"))
    async with keeping.router():
        first = await stream(keeping)
        again = await stream(keeping)
        whole = await ask(keeping)
    assert b"".join(again.frames[1:]) == b"".join(first.frames[1:])
    assert again.frames[0].startswith(b'{"head":1')
    assert msgspec.json.decode(whole.body, type=dict[str, object])["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert len(keeping.server.received) == 1


async def test_what_the_caller_says_of_the_cache_holds(keeping: Plane) -> None:
    async with keeping.router():
        with pytest.raises(Failure) as caught:
            await ask(keeping, cache="only")
        assert caught.value.code is Code.NOT_FOUND
        await ask(keeping, cache="no-store")
        with pytest.raises(Failure):
            await ask(keeping, cache="only")
        await ask(keeping)
        assert (await ask(keeping, cache="only")).served.cached == "exact"
        assert (await ask(keeping, cache="refresh")).served.cached == ""
    assert len(keeping.server.received) == 3


async def test_who_asks_what_is_being_answered_waits_for_that_answer(keeping: Plane) -> None:
    keeping.server.script(late(plain("Hello!"), 0.3))
    async with keeping.router():
        answers = await asyncio.gather(*[ask(keeping) for _ in range(5)])
        outcomes = await keeping.outcomes(5)
    assert len(keeping.server.received) == 1
    assert len({bytes(answer.body) for answer in answers}) == 1
    assert sorted(outcome.cached for outcome in outcomes) == ["", "shared", "shared", "shared", "shared"]


async def test_when_the_first_fails_the_others_ask_themselves(keeping: Plane) -> None:
    async with keeping.router():
        first = asyncio.create_task(ask(keeping))
        others = [asyncio.create_task(ask(keeping)) for _ in range(3)]
        first.cancel()
        answers = await asyncio.gather(*others)
    assert all(b"chat.completion" in bytes(answer.body) for answer in answers)


async def test_a_lost_store_costs_nothing_but_the_saving(keeping: Plane) -> None:
    async with keeping.router(store_url=Secret("redis://127.0.0.1:1/0")):
        assert (await ask(keeping)).served.cached == ""
        assert (await ask(keeping)).served.cached == ""


async def test_an_alias_that_keeps_nothing_says_so_when_asked_for_what_it_kept(plane: Plane) -> None:
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await ask(plane, cache="only")
    assert caught.value.code is Code.NOT_FOUND


async def test_a_question_that_means_the_same_gets_the_same_answer(keeping: Plane) -> None:
    keeping.deploy("vectors", "one-e", kinds=["embeddings"])
    keeping.default = {"embed": "vectors"}
    cache = {"similarity": 0.95}
    keeping.aliases["chat"] = {"deployments": ["one", "two"], "cache": cache}
    async with keeping.router():
        await ask(keeping, "What is the capital of France?")
        near = await ask(keeping, "What is the capital of Franze?")
        other = await ask(keeping, "What is the capital of France?", seed=3)
    assert (near.served.cached, other.served.cached) == ("semantic", "")
