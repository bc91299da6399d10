"""Plain answers, from the bus to the provider and back."""

import asyncio
import contextlib
import time

import msgspec
import pytest

from penstock.contracts.audit import OutcomeRecord, Who
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import run_id
from penstock.contracts.llm import CompletionRequest, Usage
from penstock.contracts.subjects import LLM_COMPLETE
from tests.services.router.conftest import Plane
from tests.support.eventually import eventually
from tests.support.model_server import base64_image, hang, hang_up, json, lying_length, plain, status


async def test_an_answer_comes_back_byte_for_byte_with_who_served_it(plane: Plane) -> None:
    plane.server.script(plain("Hello!", prompt=100, output=5, cached=80, x_new={"deep": [1.0]}))
    async with plane.router():
        answer = await plane.complete(x_mine={"a": 1}, temperature=0.5)
        body = msgspec.json.decode(answer.body, type=dict[str, object])
        assert body["x_new"] == {"deep": [1.0]}
        assert body["model"] == "upstream-model-1"
        served = answer.served
        assert (served.deployment, served.model, served.attempts) == ("one", "upstream-model-1", 1)
        assert served.usage == Usage(uncached=20, cache_read=80, output=5)
        assert served.cost_nano == 20 * 2_000 + 80 * 200 + 5 * 10_000
        assert (served.price_version, served.attempt[:4], served.decision[:4]) == ("models file", "att_", "dec_")
        (outcome,) = await plane.outcomes(1)
    (request,) = plane.server.received
    assert request.fields == {
        "model": "one",
        "messages": [{"role": "user", "content": "Say hello."}],
        "x_mine": {"a": 1},
        "temperature": 0.5,
    }
    assert outcome == OutcomeRecord(
        decision=served.decision,
        attempt=served.attempt,
        status="ok",
        action="model.complete",
        resource='Model::"chat"',
        usage=served.usage,
        cost_nano=served.cost_nano,
        price_version="models file",
        result_digest=outcome.result_digest,
        latency_ms=outcome.latency_ms,
        deployment="one",
        request="req_1",
        traceparent=outcome.traceparent,
        surface=outcome.surface,
        wire=outcome.wire,
        reason="number 1 of the alias",
        who=Who("user:alice", key=outcome.who.key if outcome.who else ""),
        txn=outcome.txn,
    )
    assert len(outcome.result_digest) == 64 and outcome.txn[:4] == "txn_"


async def test_the_worst_case_is_reserved_and_the_real_cost_is_settled(plane: Plane) -> None:
    await plane.log_in(usd=1)
    async with plane.router():
        answer = await plane.complete(max_tokens=100)
        (decision,) = await plane.decisions()
        assert (decision.reserved_nano, decision.reserved_tokens) == (8 * 2_000 + 100 * 10_000, 8 + 100)

        async def settled() -> None:
            balance = await plane.balance()
            assert (balance.committed_nano, balance.reserved_nano) == (answer.served.cost_nano, 0)

        await eventually(settled)


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (status(500), "upstream"),
        (status(429, retry_after="1"), "rate_limited"),
        (status(401), "upstream"),
        (status(404), "upstream"),
        (hang_up(), "upstream"),
        (lying_length(), "upstream"),
        (json({"error": {"message": "overloaded", "type": "overloaded_error"}}), "upstream"),
        (json({"hello": "world"}), "upstream"),
        (hang(), "deadline"),
    ],
    ids=["500", "429", "401", "404", "hang_up", "cut", "error in 200", "no completion", "silence"],
)
async def test_a_failing_deployment_is_stood_in_for_by_the_next(plane: Plane, reply: object, code: str) -> None:
    assert callable(reply)
    plane.deployments["one"]["timeouts"] = {"total_s": 0.3}
    plane.server.script(reply, model="one")
    async with plane.router():
        answer = await plane.complete()
        assert (answer.served.deployment, answer.served.attempts) == ("two", 2)
        first, second = await plane.outcomes(2)
        assert (first.status, first.code, first.deployment) == ("error", code, "one")
        assert (second.status, second.deployment) == ("ok", "two")
        assert first.attempt != second.attempt
        assert first.decision != second.decision
    assert [request.model for request in plane.server.received] == ["one", "two"]


async def test_what_the_caller_did_wrong_is_told_and_nobody_else_is_asked(plane: Plane) -> None:
    plane.server.script(status(400, "temperature is too high"))
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.complete()
        assert caught.value.code is Code.INVALID
        assert caught.value.detail == "the provider refused the request: temperature is too high"
        (outcome,) = await plane.outcomes(1)
        assert (outcome.status, outcome.code, outcome.usage, outcome.cost_nano) == ("error", "invalid", Usage(), 0)
    assert len(plane.server.received) == 1


async def test_when_every_key_is_refused_the_caller_learns_that_its_own_is_fine(plane: Plane) -> None:
    plane.server.script(status(401, "bad key"))
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.complete()
    assert (caught.value.code, caught.value.detail) == (Code.UPSTREAM, "upstream credentials exhausted")
    assert len(plane.server.received) == 2


async def test_a_rate_limit_everywhere_says_when_to_come_back(plane: Plane) -> None:
    plane.server.script(status(429, retry_after="33"))
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.complete()
        assert (caught.value.code, caught.value.retry_after_s) == (Code.RATE_LIMITED, 33.0)
        with pytest.raises(Failure) as again:
            await plane.complete()
        assert again.value.code is Code.RATE_LIMITED
        assert 30.0 < again.value.retry_after_s <= 33.0
    assert len(plane.server.received) == 2


async def test_a_deployment_that_fails_for_a_moment_is_asked_again(plane: Plane) -> None:
    plane.deploy("alone", "single")
    plane.server.script(status(503), plain(), model="single")
    async with plane.router():
        answer = await plane.complete("alone")
        assert (answer.served.deployment, answer.served.attempts) == ("single", 2)
        await plane.outcomes(2)


async def test_attempts_are_bounded(plane: Plane) -> None:
    plane.server.script(status(500))
    async with plane.router(rounds_max=50, breaker_failures_max=1000):
        with pytest.raises(Failure) as caught:
            await plane.complete()
        assert (caught.value.code, caught.value.detail) == (Code.UPSTREAM, "the provider answered with status 500")
        await plane.outcomes(4)
    assert len(plane.server.received) == 4


async def test_a_prompt_too_long_for_one_window_goes_to_a_larger_one_only(plane: Plane) -> None:
    plane.deploy("windows", "small", "smaller", "large")
    for model, tokens in (("small", 9000), ("smaller", 8000), ("large", 99_000)):
        plane.deployments[model]["context_tokens"] = tokens
        plane.server.script(status(400, "too long", code="context_length_exceeded"), model=model)
    plane.server.script(plain(), model="large")
    async with plane.router():
        answer = await plane.complete("windows")
        assert answer.served.deployment == "large"
    assert [request.model for request in plane.server.received] == ["small", "large"]


async def test_a_prompt_too_long_for_every_window_is_the_caller_s_to_shorten(plane: Plane) -> None:
    plane.server.script(status(400, "maximum context length is 8192 tokens"))
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.complete()
    assert (caught.value.code, caught.value.param) == (Code.INVALID, "messages")
    assert caught.value.detail == "the prompt is too long for the model: maximum context length is 8192 tokens"


async def test_a_deployment_that_fails_again_and_again_rests_and_is_tried_once_after(plane: Plane) -> None:
    plane.server.script(status(500), model="one")
    async with plane.router(breaker_failures_max=2):
        for _ in range(4):
            assert (await plane.complete()).served.deployment == "two"
        assert plane.server.asked("one") == 2
        plane.server.script(plain(), model="one")

        async def well_again() -> None:
            assert (await plane.complete()).served.deployment == "one"

        await eventually(well_again)


@pytest.mark.parametrize(
    ("model", "fields", "code", "param"),
    [
        ("nobody", {}, Code.NOT_FOUND, "model"),
        ("chat", {"messages": "hello"}, Code.INVALID, "messages"),
        ("chat", {"max_tokens": -1}, Code.INVALID, "max_tokens"),
        ("bare", {"tools": [{"type": "function", "function": {"name": "f"}}]}, Code.INVALID, "model"),
        ("vectors", {}, Code.INVALID, "model"),
    ],
)
async def test_what_cannot_be_done_is_refused_before_anybody_is_asked(
    plane: Plane, model: str, fields: dict[str, object], code: Code, param: str
) -> None:
    plane.deploy("bare", "bare", tools=False)
    plane.deploy("vectors", "vectors", kinds=["embeddings"])
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.complete(model, None, **fields)
        assert (caught.value.code, caught.value.param) == (code, param)
        assert await plane.decisions() == []
    assert plane.server.received == []


async def test_an_unknown_protocol_is_refused(plane: Plane) -> None:
    async with plane.router():
        request = CompletionRequest("chat", msgspec.Raw(b"{}"), surface="smoke.signals")
        with pytest.raises(Failure) as caught:
            await plane.bus.call(LLM_COMPLETE, request, plane.meta())
    assert (caught.value.code, caught.value.param) == (Code.INVALID, "surface")


async def test_a_deployment_without_tools_is_passed_over_for_one_with(plane: Plane) -> None:
    plane.deploy("mixed", "bare", tools=False)
    plane.deploy("mixed2", "able")
    plane.aliases["mixed"] = ["bare", "able"]
    del plane.aliases["mixed2"]
    async with plane.router():
        answer = await plane.complete("mixed", tools=[{"type": "function", "function": {"name": "f"}}])
    assert answer.served.deployment == "able"


async def test_a_budget_that_runs_out_surfaces_as_policy_said_it(plane: Plane) -> None:
    await plane.log_in(usd=0.0005)
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.complete(max_tokens=1000)
        assert caught.value.code is Code.BUDGET_EXHAUSTED
        assert caught.value.decision.startswith("dec_")
        assert caught.value.reasons
    assert plane.server.received == []


async def test_a_token_without_the_scope_is_denied(plane: Plane) -> None:
    await plane.log_in(scopes=("tool.call",))
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.complete()
        assert caught.value.code is Code.DENIED
    assert plane.server.received == []


async def test_an_unknown_price_is_denied_by_default(plane: Plane) -> None:
    plane.deploy("dear", "dear")
    del plane.deployments["dear"]["price"]
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.complete("dear")
    assert caught.value.code in (Code.DENIED, Code.BUDGET_EXHAUSTED)
    assert plane.server.received == []


async def test_the_caller_s_deadline_bounds_all_attempts_together(plane: Plane) -> None:
    plane.server.script(hang())
    async with plane.router():
        began = time.monotonic()
        with pytest.raises(Failure) as caught:
            await plane.complete(meta=plane.meta(deadline=time.time() + 0.5))
        assert caught.value.code is Code.DEADLINE
        assert time.monotonic() - began < 2.0
    assert len(plane.server.received) == 1


@pytest.mark.parametrize("how", ["the job is cancelled", "the caller goes away"])
async def test_a_caller_who_cancels_closes_the_upstream_and_settles_once(plane: Plane, how: str) -> None:
    await plane.log_in(usd=1)
    plane.server.script(hang())
    async with plane.router():
        call = asyncio.create_task(plane.complete(meta=plane.meta(job="job_1")))

        async def asked() -> None:
            assert plane.server.under_way == 1

        await eventually(asked)
        if how == "the job is cancelled":
            await plane.bus.cancel(run_id("acme", "job_1"))
        else:
            call.cancel()

        async def left() -> None:
            assert plane.server.under_way == 0

        await eventually(left, within_s=1.0)
        with contextlib.suppress(Failure, asyncio.CancelledError):
            await call
        (outcome,) = await plane.outcomes(1)
        assert (outcome.status, outcome.code) == ("cancelled", "cancelled")
        assert outcome.usage == Usage(uncached=6, estimated=True)
        assert outcome.cost_nano == 6 * 2_000

        async def settled() -> None:
            balance = await plane.balance()
            assert (balance.committed_nano, balance.reserved_nano) == (6 * 2_000, 0)

        await eventually(settled)


async def test_usage_that_nobody_counted_is_estimated_and_flagged(plane: Plane) -> None:
    plane.server.script(plain("x" * 400, usage=False))
    async with plane.router():
        usage = (await plane.complete()).served.usage
    assert usage.estimated
    assert usage.uncached == 6
    assert 100 <= usage.output < 250


async def test_more_than_a_deployment_takes_at_once_goes_to_the_next_and_then_is_refused(plane: Plane) -> None:
    for model in ("one", "two"):
        plane.deployments[model]["concurrency_max"] = 1
    plane.server.script(hang())
    async with plane.router():
        calls = [asyncio.create_task(plane.complete()) for _ in range(2)]

        async def both() -> None:
            assert plane.server.under_way == 2

        await eventually(both)
        assert {request.model for request in plane.server.received} == {"one", "two"}
        with pytest.raises(Failure) as caught:
            await plane.complete()
        assert (caught.value.code, caught.value.retry_after_s) == (Code.OVERLOADED, 1.0)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


async def test_a_request_with_large_images_goes_through_and_is_not_reserved_for_as_text(plane: Plane) -> None:
    await plane.log_in(usd=1)
    parts = [{"type": "image_url", "image_url": {"url": base64_image(4_000_000)}} for _ in range(2)]
    async with plane.router():
        answer = await plane.complete(messages=[{"role": "user", "content": parts}], max_tokens=10)
        assert answer.served.deployment == "one"
        (decision,) = await plane.decisions()
        assert decision.reserved_tokens < 3200
    assert len(plane.server.received[0].body) > 8_000_000


async def test_keys_are_in_no_log_line_and_no_record(plane: Plane) -> None:
    (plane.folder / "key").write_text("sk-very-secret-key\n", encoding="utf-8")
    for model in ("one", "two"):
        plane.deployments[model]["key"] = "file:key"
    plane.server.script(status(400, "Bearer sk-very-secret-key is bad"))
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.complete()
        await plane.outcomes(1)
        records = msgspec.json.encode(await plane.records())
    assert plane.server.received[0].headers["authorization"] == "Bearer sk-very-secret-key"
    assert "sk-very-secret-key" not in caught.value.detail
    assert b"sk-very-secret-key" not in records
    assert not [line for line in plane.lines if "sk-very-secret-key" in line]
