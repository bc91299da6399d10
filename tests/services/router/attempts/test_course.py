"""The course of a request over keys, deployments, aliases and hedges, from the bus to the provider and back."""

import asyncio
import time

import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import Usage
from tests.services.router.conftest import Plane
from tests.support.eventually import eventually
from tests.support.model_server import Line, Received, Reply, chunk, events, hang, plain, status, streamed


def by_key(**replies: Reply) -> Reply:
    """A reply for each key; the name is what follows `sk-`."""

    async def reply(line: Line, request: Received) -> None:
        await replies[request.headers["authorization"].removeprefix("Bearer sk-")](line, request)

    return reply


def shown(plane: Plane) -> list[str]:
    return [request.headers["authorization"].removeprefix("Bearer sk-") for request in plane.server.received]


def several_keys(plane: Plane, *names: str) -> None:
    for name in names:
        (plane.folder / name).write_text(f"sk-{name}\n", encoding="utf-8")
    plane.deploy("keyed", "single", keys=[f"file:{name}" for name in names])


# Keys ----------------------------------------------------------------------------------------------------------------


async def test_a_refused_key_is_followed_by_the_next_at_once_and_is_not_shown_again(plane: Plane) -> None:
    several_keys(plane, "a", "b")
    plane.server.script(by_key(a=status(401), b=plain()), model="single")
    async with plane.router(backoff_s=5.0):
        began = time.monotonic()
        answer = await plane.complete("keyed")
        assert time.monotonic() - began < 2.0
        assert answer.served.attempts == 2
        first, second = await plane.outcomes(2)
        assert (first.code, second.status) == ("upstream", "ok")
        for _ in range(4):
            await plane.complete("keyed")
    assert shown(plane) == ["a", "b", "b", "b", "b", "b"]


@pytest.mark.parametrize("number", [401, 402, 403])
async def test_when_every_key_is_dead_the_caller_learns_that_its_own_is_fine(plane: Plane, number: int) -> None:
    several_keys(plane, "a", "b", "c")
    plane.server.script(status(number))
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.complete("keyed")
        assert (caught.value.code, caught.value.detail) == (Code.UPSTREAM, "upstream credentials exhausted")
        await plane.outcomes(3)
    assert sorted(shown(plane)) == ["a", "b", "c"]


async def test_a_rate_limit_goes_to_another_key_after_a_pause_whatever_the_provider_asks_for(plane: Plane) -> None:
    several_keys(plane, "a", "b")
    plane.server.script(by_key(a=status(429, retry_after="30"), b=plain()), model="single")
    async with plane.router(backoff_s=0.2):
        began = time.monotonic()
        answer = await plane.complete("keyed")
        took_s = time.monotonic() - began
        assert (answer.served.attempts, 0.16 <= took_s < 5) == (2, True)
    assert shown(plane) == ["a", "b"]


async def test_an_error_of_the_server_s_is_tried_again_with_the_same_key(plane: Plane) -> None:
    several_keys(plane, "a", "b")
    plane.server.script(status(503), status(503), plain(), model="single")
    async with plane.router(rounds_max=3):
        await plane.complete("keyed")
    assert shown(plane) == ["a", "a", "a"]


async def test_keys_take_turns(plane: Plane) -> None:
    several_keys(plane, "a", "b")
    plane.server.script(plain())
    async with plane.router():
        for _ in range(4):
            await plane.complete("keyed")
    assert shown(plane) == ["a", "b", "a", "b"]


@pytest.mark.parametrize("number", [400, 422])
async def test_what_the_caller_did_wrong_is_never_tried_again(plane: Plane, number: int) -> None:
    several_keys(plane, "a", "b")
    plane.server.script(status(number, "bad"))
    async with plane.router(rounds_max=5):
        with pytest.raises(Failure) as caught:
            await plane.complete("keyed")
    assert (caught.value.code, len(plane.server.received)) == (Code.INVALID, 1)


async def test_keys_beyond_the_cap_on_hops_are_not_tried(plane: Plane) -> None:
    several_keys(plane, "a", "b", "c", "d")
    plane.server.script(status(401))
    async with plane.router(hops_max=2):
        with pytest.raises(Failure):
            await plane.complete("keyed")
    assert len(plane.server.received) == 2


# Fallbacks -----------------------------------------------------------------------------------------------------------


async def test_when_an_alias_has_failed_its_fallback_answers(plane: Plane) -> None:
    plane.deploy("spare", "three")
    plane.aliases["chat"] = {"deployments": ["one", "two"], "fallback": ["spare"]}
    for model in ("one", "two"):
        plane.server.script(status(500), model=model)
    async with plane.router(rounds_max=1):
        answer = await plane.complete()
        assert (answer.served.deployment, answer.served.attempts) == ("three", 3)
        outcomes = await plane.outcomes(3)
        assert [outcome.resource for outcome in outcomes] == ['Model::"chat"', 'Model::"chat"', 'Model::"spare"']


async def test_when_all_fail_the_first_error_is_told(plane: Plane) -> None:
    plane.deploy("spare", "three")
    plane.aliases["chat"] = {"deployments": ["one"], "fallback": ["spare"]}
    plane.deploy("two", "two")
    plane.server.script(status(503), model="one")
    plane.server.script(status(429), model="three")
    async with plane.router(rounds_max=1):
        with pytest.raises(Failure) as caught:
            await plane.complete()
    assert (caught.value.code, caught.value.detail) == (Code.UPSTREAM, "the provider answered with status 503")


async def test_a_fallback_serves_while_the_alias_itself_rests(plane: Plane) -> None:
    plane.deploy("spare", "three")
    plane.aliases["chat"] = {"deployments": ["one"], "fallback": ["spare"]}
    plane.deploy("two", "two")
    plane.server.script(status(500), model="one")
    async with plane.router(rounds_max=1, breaker_failures_max=1, breaker_rest_s=30.0):
        for _ in range(3):
            assert (await plane.complete()).served.deployment == "three"
    assert plane.server.asked("one") == 1


# Hedges --------------------------------------------------------------------------------------------------------------


def hedged(plane: Plane, after_s: float = 0.1) -> None:
    plane.aliases["chat"] = {"deployments": ["one", "two"], "hedge_after_s": after_s}


async def test_a_second_deployment_answers_when_the_first_is_slow_and_the_first_is_settled_once(plane: Plane) -> None:
    await plane.log_in(usd=1)
    hedged(plane)
    plane.server.script(hang(), model="one")
    async with plane.router():
        answer = await plane.complete()
        assert answer.served.deployment == "two"
        assert answer.served.reason == "one was slow; number 2 of the alias"

        async def left() -> None:
            assert plane.server.under_way == 0

        await eventually(left, within_s=1.0)
        lost, won = sorted(await plane.outcomes(2), key=lambda outcome: outcome.deployment)
        assert (lost.deployment, lost.status, lost.usage) == ("one", "cancelled", Usage(uncached=6, estimated=True))
        assert (won.deployment, won.status) == ("two", "ok")

        async def settled() -> None:
            assert (await plane.balance()).reserved_nano == 0

        await eventually(settled)


async def test_a_stream_s_hedge_wins_with_its_first_content_and_the_other_is_cancelled(plane: Plane) -> None:
    hedged(plane)
    started = events(chunk({"role": "assistant", "content": ""}), then="hang")
    plane.server.script(started, model="one")
    plane.server.script(streamed("from two", pause_s=0.02), model="two")
    async with plane.router():
        seen = await plane.stream()
        assert seen.end is not None
        assert seen.end.served.deployment == "two"
        assert seen.text.count(b"from two") == 1
        assert seen.text.count(b'"role":"assistant"') == 1
        outcomes = await plane.outcomes(2)
        assert sorted((outcome.deployment, outcome.status) for outcome in outcomes) == [
            ("one", "cancelled"),
            ("two", "ok"),
        ]


async def test_the_first_wins_when_its_content_comes_before_the_hedge_s(plane: Plane) -> None:
    hedged(plane, 0.05)
    first = chunk({"role": "assistant", "content": "from one"})
    rest = (chunk({"content": "!"}, "stop"), b"data: [DONE]\n\n")
    plane.server.script(events(b": wait\n\n", b": wait\n\n", b": wait\n\n", first, *rest, pause_s=0.05), model="one")
    plane.server.script(hang(), model="two")
    async with plane.router():
        seen = await plane.stream()
        assert seen.end is not None
        assert seen.end.served.deployment == "one"
        outcomes = await plane.outcomes(2)
        assert sorted((outcome.deployment, outcome.status) for outcome in outcomes) == [
            ("one", "ok"),
            ("two", "cancelled"),
        ]


async def test_no_second_attempt_is_made_when_the_first_is_quick(plane: Plane) -> None:
    hedged(plane, 2.0)
    async with plane.router():
        assert (await plane.complete()).served.deployment == "one"
        await plane.outcomes(1)
    assert len(plane.server.received) == 1


async def test_a_first_that_fails_while_hedged_leaves_the_second_to_answer(plane: Plane) -> None:
    hedged(plane, 0.05)

    async def late_failure(line: Line, request: Received) -> None:
        await asyncio.sleep(0.15)
        await status(500)(line, request)

    async def late_answer(line: Line, request: Received) -> None:
        await asyncio.sleep(0.3)
        await plain()(line, request)

    plane.server.script(late_failure, model="one")
    plane.server.script(late_answer, model="two")
    async with plane.router():
        assert (await plane.complete()).served.deployment == "two"
        outcomes = await plane.outcomes(2)
        assert sorted((outcome.deployment, outcome.status) for outcome in outcomes) == [("one", "error"), ("two", "ok")]


async def test_a_caller_who_leaves_stops_both(plane: Plane) -> None:
    hedged(plane, 0.05)
    plane.server.script(hang())
    async with plane.router():
        call = asyncio.create_task(plane.complete())

        async def both() -> None:
            assert plane.server.under_way == 2

        await eventually(both)
        call.cancel()

        async def left() -> None:
            assert plane.server.under_way == 0

        await eventually(left, within_s=1.0)
        outcomes = await plane.outcomes(2)
        assert [outcome.status for outcome in outcomes] == ["cancelled", "cancelled"]


async def test_a_hedge_that_the_budget_does_not_pay_leaves_the_first_alone(plane: Plane) -> None:
    await plane.log_in(usd=0.0012)
    hedged(plane, 0.05)

    async def late_answer(line: Line, request: Received) -> None:
        await asyncio.sleep(0.3)
        await plain()(line, request)

    plane.server.script(late_answer, model="one")
    async with plane.router():
        assert (await plane.complete(max_tokens=100)).served.deployment == "one"
        assert len(await plane.decisions()) == 2
    assert plane.server.asked("two") == 0


async def test_when_nobody_answers_the_log_says_who_was_chosen_and_why_others_were_not(plane: Plane) -> None:
    plane.deployments["two"]["tools"] = False
    plane.server.script(status(500), model="one")
    async with plane.router(rounds_max=1):
        with pytest.raises(Failure):
            await plane.complete(tools=[{"type": "function", "function": {"name": "f"}}])
        (line,) = [line for line in plane.lines if "no deployment answered" in line]
    assert "1. one: number 1 of the alias" in line
    assert "-. two: takes no tools" in line


# Rules, canaries, copies ----------------------------------------------------------------------------------------------


async def test_a_rule_over_labels_and_tools_sends_a_request_elsewhere(plane: Plane) -> None:
    rules = [{"name": "red", "when": "labels.team == 'red' || tools", "use": ["two"]}]
    plane.aliases["chat"] = {"deployments": ["one"], "rules": rules}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    async with plane.router():
        assert (await plane.complete()).served.deployment == "one"
        answer = await plane.complete(tools=[tool])
        assert answer.served.deployment == "two"
        assert answer.served.reason == "rule red: number 1 of the alias"


async def test_a_rule_sees_what_is_left_of_the_budget(plane: Plane) -> None:
    await plane.log_in(usd=0.01)
    rules = [{"when": "budget_left_usd < 1.0", "use": ["two"]}]
    plane.aliases["chat"] = {"deployments": ["one"], "rules": rules}
    async with plane.router():
        assert (await plane.complete(max_tokens=10)).served.deployment == "two"


async def test_a_rule_sees_what_is_left_shrink_and_no_limit_as_very_much(plane: Plane) -> None:
    rules = [{"when": "budget_left_usd < 0.001", "use": ["two"]}]
    plane.aliases["chat"] = {"deployments": ["one"], "rules": rules}
    async with plane.router():
        assert (await plane.complete(max_tokens=10)).served.deployment == "one"
        await plane.log_in(usd=0.00105)
        assert (await plane.complete(max_tokens=10)).served.deployment == "one"
        assert (await plane.complete(max_tokens=10)).served.deployment == "two"


async def test_a_canary_that_fails_is_stood_in_for(plane: Plane) -> None:
    plane.deploy("new", "three")
    plane.aliases["chat"] = {"deployments": ["one", "two"], "canary": [{"deployment": "three", "percent": 100}]}
    plane.server.script(status(500), model="three")
    async with plane.router():
        answer = await plane.complete()
        assert (answer.served.deployment, answer.served.attempts) == ("one", 2)
        first, _ = await plane.outcomes(2)
        assert first.reason == "canary for 100 %: number 1 of the alias"


@pytest.mark.parametrize("how", ["plain", "streamed"])
async def test_a_copy_is_asked_recorded_and_never_answered(plane: Plane, how: str) -> None:
    plane.deploy("new", "three")
    plane.aliases["chat"] = {"deployments": ["one", "two"], "shadow": [{"deployment": "three", "percent": 100}]}
    plane.server.script(plain("from the copy"), model="three")
    async with plane.router():
        if how == "plain":
            answer = await plane.complete()
            assert answer.served.deployment == "one"
            assert b"from the copy" not in bytes(answer.body)
        else:
            seen = await plane.stream()
            assert b"from the copy" not in seen.text
        outcomes = await plane.outcomes(2)
        assert sorted((each.deployment, each.status, each.reason) for each in outcomes) == [
            ("one", "ok", "number 1 of the alias"),
            ("three", "ok", "shadow copy"),
        ]
    assert plane.server.asked("three") == 1


async def test_a_copy_that_hangs_delays_nobody_and_ends_with_the_service(plane: Plane) -> None:
    plane.deploy("new", "three")
    plane.aliases["chat"] = {"deployments": ["one", "two"], "shadow": [{"deployment": "three", "percent": 100}]}
    plane.server.script(hang(), model="three")
    async with plane.router():
        began = time.monotonic()
        assert (await plane.complete()).served.deployment == "one"
        assert time.monotonic() - began < 2.0
        assert plane.server.under_way == 1

    async def left() -> None:
        assert plane.server.under_way == 0

    await eventually(left, within_s=1.0)
