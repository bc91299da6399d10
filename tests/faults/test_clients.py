"""Clients that ask twice, and clients that go away in the middle."""

import asyncio
import itertools
import json
from collections import Counter

import httpx
import msgspec
import pytest

from penstock.contracts.audit import OUTCOME, OutcomeRecord
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import job_id
from penstock.contracts.jobs import Job
from tests.faults.proof import charged_once, completed, ended, settled
from tests.faults.world import WORDS, World
from tests.support.eventually import eventually
from tests.support.launched import TENANT

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

TIMES = 20
_tags = (f"c{number}" for number in itertools.count(1))


def keyed(world: World, tag: str, key: str) -> Job:
    """An agent job that is known by its key alone."""
    return msgspec.structs.replace(world.agent(tag), id="", idempotency_key=key)


def http(world: World, **headers: str) -> httpx.AsyncClient:
    headers["authorization"] = f"Bearer {world.plane.profile.key()}"
    return httpx.AsyncClient(base_url=world.plane.state.http_url, headers=headers, timeout=60)


async def outcomes(world: World, job: str = "") -> list[OutcomeRecord]:
    found = [msgspec.json.decode(r.data, type=OutcomeRecord) for r in await world.plane.records() if r.type == OUTCOME]
    return [outcome for outcome in found if outcome.job == job and outcome.action == "model.complete"]


# The same thing twice ------------------------------------------------------------------------------------------------


async def test_the_same_key_from_two_clients_at_once_is_one_job_twenty_times(shared_world: World) -> None:
    async with shared_world.plane.client() as one, shared_world.plane.client() as other:
        for tag in itertools.islice(_tags, TIMES):
            job = keyed(shared_world, tag, f"key {tag}")
            answers = await asyncio.gather(one.submit(job), other.submit(job))
            assert {answer.id for answer in answers} == {job_id(TENANT, f"key {tag}")}
            assert sum(not answer.duplicate for answer in answers) <= 1
            view, _ = await ended(one, answers[0].id)
            assert view.state == "completed"
            charged_once(shared_world, tag)
            assert (await other.submit(job)).duplicate


async def test_a_key_published_submitted_and_posted_at_once_is_one_job(shared_world: World) -> None:
    tag = next(_tags)
    job = keyed(shared_world, tag, "order 17")
    async with shared_world.plane.client() as one, shared_world.plane.client() as other, http(shared_world) as edge:
        body = msgspec.json.encode(job)
        published, submitted, posted, again = await asyncio.gather(
            one.publish(job), other.submit(job), edge.post("/v1/jobs", content=body), other.publish(job)
        )
        ids = {published.id, submitted.id, posted.json()["id"], again.id}
        assert ids == {job_id(TENANT, "order 17")}
        await ended(one, published.id)
    charged_once(shared_world, tag)


async def test_the_same_key_for_another_job_is_a_conflict(shared_world: World) -> None:
    tag, late = next(_tags), next(_tags)
    async with shared_world.plane.client() as client:
        first = await client.submit(keyed(shared_world, tag, "order 18"))
        with pytest.raises(Failure) as refused:
            await client.submit(keyed(shared_world, late, "order 18"))
        assert refused.value.code is Code.CONFLICT
        await ended(client, first.id)
    assert not shared_world.shop.keys(f"{late}-1")


async def test_two_tenants_with_the_same_key_have_two_jobs(shared_world: World) -> None:
    stranger = shared_world.plane.key(tenant="globex", subject="user:bob")
    tag, theirs = next(_tags), next(_tags)
    job = {"kind": "chat", "model": "chat", "idempotency_key": "shared"}
    async with http(shared_world) as ours, http(shared_world) as other:
        other.headers["authorization"] = f"Bearer {stranger}"

        async def known() -> None:
            assert (await other.get("/v1/models")).status_code == 200

        await eventually(known, 10, every_s=0.2)
        mine = await ours.post("/v1/jobs", json=job | {"input": f"<{tag}> say the words"})
        yours = await other.post("/v1/jobs", json=job | {"input": f"<{theirs}> say the words"})
    assert (mine.status_code, yours.status_code) == (202, 202)
    assert mine.json()["id"] != yours.json()["id"]


# Gone in the middle --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_leaves_closes_the_upstream_and_is_settled_once(
    shared_world: World, streamed: bool
) -> None:
    world, tag = shared_world, next(_tags)
    hold = world.hold(tag, "streaming" if streamed else "asked")
    body = {"model": "chat", "stream": streamed, "messages": [{"role": "user", "content": f"<{tag}> say the words"}]}
    left = len(world.provider.hung_up)
    async with http(world, **{"x-request-id": f"req_{tag}"}) as edge:
        if streamed:
            async with edge.stream("POST", "/v1/chat/completions", json=body) as answer:
                async for line in answer.aiter_lines():
                    if WORDS[1].strip() in line:
                        break
        else:
            asking = asyncio.create_task(edge.post("/v1/chat/completions", json=body))
            await hold.reached.wait()
            asking.cancel()
            await asyncio.wait([asking])

    async def upstream_closed() -> None:
        assert len(world.provider.hung_up) == left + 1
        assert f"<{tag}>".encode() in world.provider.hung_up[-1].body

    await eventually(upstream_closed, 10)
    hold.go.set()

    async def told_once() -> OutcomeRecord:
        found = [outcome for outcome in await outcomes(world) if outcome.request == f"req_{tag}"]
        assert len(found) == 1, found
        return found[0]

    outcome = await eventually(told_once, 10, every_s=0.2)
    assert (outcome.status, outcome.code) == ("cancelled", "cancelled")
    assert outcome.usage.estimated and outcome.cost_nano > 0
    await settled(world)


async def test_a_job_goes_on_when_its_client_has_gone(shared_world: World) -> None:
    tag = next(_tags)
    hold = shared_world.hold(tag, "streaming")
    async with shared_world.plane.client() as client:
        await client.submit(shared_world.agent(tag))
        # what held it: the words that end an agent's job
        await asyncio.wait_for(hold.reached.wait(), 20)
    hold.go.set()
    async with shared_world.plane.client() as later:
        await completed(shared_world, later, tag)
    charged_once(shared_world, tag)


async def test_a_follower_over_http_that_leaves_and_comes_back_misses_nothing(shared_world: World) -> None:
    tag = next(_tags)
    hold = shared_world.hold(tag, "tool")
    seen: list[int] = []
    async with http(shared_world) as edge:
        job = msgspec.json.encode(shared_world.agent(tag))
        assert (await edge.post("/v1/jobs", content=job)).status_code == 202
        async with edge.stream("GET", f"/v1/jobs/job_{tag}/events") as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    seen.append(json.loads(line[5:])["n"])
                if len(seen) == 2:
                    break
        hold.go.set()
        resume = {"last-event-id": str(seen[-1])}
        async with edge.stream("GET", f"/v1/jobs/job_{tag}/events", headers=resume) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data:") and line[5:].strip().startswith("{"):
                    seen.append(json.loads(line[5:])["n"])
    assert seen == list(range(len(seen)))
    assert len(seen) > 8


async def test_a_cancelled_job_stops_its_model_call_and_is_settled(shared_world: World) -> None:
    world, tag = shared_world, next(_tags)
    hold = world.hold(tag, "streaming")
    left = len(world.provider.hung_up)
    async with world.plane.client() as client:
        await client.submit(world.chat(tag))
        await asyncio.wait_for(hold.reached.wait(), 20)
        await client.cancel(f"job_{tag}")
        view, events = await ended(client, f"job_{tag}")
    assert view.state == "cancelled"
    assert Counter(event.type for event in events)["cancelled"] == 1

    async def upstream_closed() -> None:
        assert len(world.provider.hung_up) == left + 1

    await eventually(upstream_closed, 10)
    hold.go.set()
    await settled(world)
    found = await outcomes(world, f"job_{tag}")
    assert [(outcome.status, outcome.code) for outcome in found] == [("cancelled", "cancelled")]


async def test_a_client_that_only_asks_and_never_reads_its_answers_does_no_harm(shared_world: World) -> None:
    """Two hundred calls whose asker leaves at once."""
    async with shared_world.plane.client() as client:
        asked = [asyncio.create_task(client.get(f"job_none{number}")) for number in range(200)]
        await asyncio.wait(asked, timeout=0)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    await still_works(shared_world)


async def still_works(world: World) -> None:
    tag = next(_tags)
    async with world.plane.client() as client:
        await client.submit(world.agent(tag))
        await completed(world, client, tag)
    charged_once(world, tag)
