"""The client over a real broker: tokens, following without gap or repeat, and what it says when things go wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

import penstock
from penstock.client import Limits, Penstock
from penstock.contracts import jobs
from penstock.contracts.errors import Code, Failure
from tests.support.eventually import eventually
from tests.support.jobs_desk import JOB, TENANT, JobsDesk, jobs_desk
from tests.support.nats_server import NatsServer

QUICK = Limits(silence_s=0.2, pause_s=0.02, patience_s=20.0)


@pytest.fixture
async def desk(nats_url: str) -> AsyncIterator[JobsDesk]:
    async with jobs_desk(nats_url) as desk:
        yield desk


@pytest.fixture
async def plane(nats_url: str, desk: JobsDesk) -> AsyncIterator[Penstock]:
    connecting = Penstock.connect(nats_url, tenant=TENANT, api_key="psk_good_key", limits=QUICK)
    async with await connecting as plane:
        yield plane


async def test_the_api_key_is_exchanged_once_and_the_token_used_for_every_call(plane: Penstock, desk: JobsDesk) -> None:
    desk.say("accepted")
    for _ in range(3):
        await plane.get(JOB)
    assert desk.tokens_given == 1
    assert desk.tokens_seen == ["token-1", "token-1", "token-1"]


async def test_a_token_is_renewed_before_it_expires(plane: Penstock, desk: JobsDesk) -> None:
    desk.say("accepted")
    desk.token_life_s = 0.0
    await plane.get(JOB)
    await plane.get(JOB)
    assert desk.tokens_seen == ["token-1", "token-2"]


async def test_a_token_that_is_refused_is_replaced_once(plane: Penstock, desk: JobsDesk) -> None:
    desk.say("accepted")
    await plane.get(JOB)
    desk.good_tokens.clear()
    assert (await plane.get(JOB)).id == JOB
    assert desk.tokens_seen == ["token-1", "token-1", "token-2"]


async def test_a_wrong_key_is_unauthenticated(nats_url: str, desk: JobsDesk) -> None:
    async with await Penstock.connect(nats_url, tenant=TENANT, api_key="psk_bad_key") as plane:
        with pytest.raises(Failure) as refused:
            await plane.get(JOB)
    assert refused.value.code is Code.UNAUTHENTICATED
    assert "psk_bad_key" not in str(refused.value)


async def test_a_job_has_an_id_before_it_is_sent_so_that_sending_it_again_is_no_second_job(
    plane: Penstock, desk: JobsDesk
) -> None:
    submitted = await plane.submit(penstock.job("chat", "Hello", model="small", usd=0.5))
    assert desk.submitted[0].id == submitted.id
    assert submitted.id.startswith("job_")
    assert bytes(desk.submitted[0].input) == b'"Hello"'
    assert desk.submitted[0].budget == jobs.Budget(usd=0.5)


async def test_an_input_that_json_cannot_say_is_refused_here() -> None:
    with pytest.raises(Failure) as refused:
        penstock.job("chat", {"f": object()})
    assert refused.value.code is Code.INVALID


async def test_a_follower_sees_each_event_and_frame_once_in_order(plane: Penstock, desk: JobsDesk) -> None:
    desk.say("accepted")
    seen: list[str] = []
    reading = asyncio.create_task(_read(plane, seen))
    await eventually(lambda: _has(seen, "accepted"))
    desk.say("started")
    for word in ("one", "two", "three"):
        desk.show(word)
    desk.show("", last=True)
    desk.say("completed", step="s1")
    await reading
    assert seen == ["accepted", "started", "one", "two", "three", "", "completed"]


async def test_a_late_reader_sees_the_same(plane: Penstock, desk: JobsDesk) -> None:
    desk.say("accepted", live=False)
    desk.show("one", live=False)
    desk.show("", live=False, last=True)
    desk.say("step", live=False, step="s1")
    desk.say("completed", live=False)
    seen: list[str] = []
    await _read(plane, seen)
    assert seen == ["accepted", "one", "", "step", "completed"]


async def test_what_was_lost_on_the_way_is_fetched(plane: Penstock, desk: JobsDesk) -> None:
    desk.say("accepted")
    seen: list[str] = []
    reading = asyncio.create_task(_read(plane, seen))
    await eventually(lambda: _has(seen, "accepted"))
    desk.say("started", live=False)
    desk.show("one", live=False)
    desk.show("two")
    desk.say("step", step="s1")
    desk.say("completed", live=False)
    await reading
    assert [word for word in seen if word in ("one", "two")] == ["one", "two"]
    assert [word for word in seen if word not in ("one", "two")] == ["accepted", "started", "step", "completed"]


async def test_a_job_whose_first_events_have_expired_is_followed_from_what_is_there(
    plane: Penstock, desk: JobsDesk
) -> None:
    for type in ("accepted", "started", "step", "completed"):
        desk.say(type, live=False)
    del desk.events[:2]
    seen: list[str] = []
    await _read(plane, seen)
    assert seen == ["step", "completed"]


async def test_a_step_of_which_nothing_arrived_live_is_fetched_before_the_end(plane: Penstock, desk: JobsDesk) -> None:
    desk.say("accepted")
    seen: list[str] = []
    reading = asyncio.create_task(_read(plane, seen))
    await eventually(lambda: _has(seen, "accepted"))
    desk.show("one", live=False, last=True)
    desk.say("completed")
    await reading
    assert seen == ["accepted", "one", "completed"]


async def test_following_survives_a_restart_of_the_broker(plane: Penstock, desk: JobsDesk, broker: NatsServer) -> None:
    desk.say("accepted")
    seen: list[str] = []
    reading = asyncio.create_task(_read(plane, seen))
    await eventually(lambda: _has(seen, "accepted"))
    await broker.stop()
    desk.say("started", live=False)
    await broker.start()
    await eventually(lambda: _has(seen, "started"), within_s=15)
    desk.say("completed", live=False)
    await reading
    assert seen == ["accepted", "started", "completed"]


async def test_a_job_that_was_just_published_may_be_unknown_for_a_while(plane: Penstock, desk: JobsDesk) -> None:
    seen: list[str] = []
    reading = asyncio.create_task(_read(plane, seen))
    asked = len(desk.tokens_seen)

    async def asked_for() -> None:
        assert len(desk.tokens_seen) > asked + 1

    await eventually(asked_for)
    desk.say("accepted", live=False)
    desk.say("completed", live=False)
    await reading
    assert seen == ["accepted", "completed"]


async def test_following_an_unknown_job_is_not_found(plane: Penstock) -> None:
    with pytest.raises(Failure) as refused:
        async with aclosing(plane.events("job_2", appears_within_s=0.0)) as events:
            await anext(events)
    assert refused.value.code is Code.NOT_FOUND


async def test_an_id_that_is_no_subject_token_never_reaches_the_bus(plane: Penstock) -> None:
    with pytest.raises(Failure) as refused:
        async with aclosing(plane.events("*")) as events:
            await anext(events)
    assert refused.value.code is Code.INVALID


async def test_waiting_ends_with_the_job_or_with_its_time(plane: Penstock, desk: JobsDesk) -> None:
    desk.say("accepted")
    with pytest.raises(Failure) as late:
        await plane.wait(JOB, timeout_s=0.1)
    assert late.value.code is Code.DEADLINE
    desk.say("completed")
    assert (await plane.wait(JOB)).state == "completed"


async def test_a_body_too_large_for_a_message_is_refused_and_the_connection_stays(
    plane: Penstock, desk: JobsDesk
) -> None:
    with pytest.raises(Failure) as refused:
        await plane.submit(penstock.job("chat", "x" * (2 * 1024 * 1024)))
    assert refused.value.code is Code.TOO_LARGE
    desk.say("accepted")
    assert (await plane.get(JOB)).id == JOB


async def test_no_broker_is_unavailable() -> None:
    with pytest.raises(Failure) as refused:
        await Penstock.connect("nats://127.0.0.1:9", connect_timeout_s=0.2)
    assert refused.value.code is Code.UNAVAILABLE


async def _read(plane: Penstock, seen: list[str]) -> None:
    async with aclosing(plane.follow(JOB)) as items:
        async for item in items:
            seen.append(item.text if isinstance(item, jobs.TokenFrame) else item.type)


async def _has(seen: list[str], what: str) -> None:
    assert what in seen


async def test_a_wait_outlasts_services_that_are_away_when_the_job_is_over(plane: Penstock, desk: JobsDesk) -> None:
    desk.say("accepted")
    desk.say("completed")
    desk.gets_failing = 2
    assert (await plane.wait(JOB, timeout_s=10)).state == "completed"
    assert desk.gets_failing == 0
