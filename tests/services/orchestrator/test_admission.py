"""Jobs from the queue and from the call: admitted once, or refused where their submitter sees it."""

from dataclasses import replace
from pathlib import Path

import pytest

from penstock.bus.setup import Setup, Table
from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import job_id, run_id
from penstock.contracts.jobs import Job, JobEvent, JobListRequest, JobRef, JobView
from penstock.contracts.stores import DLQ, JOBS
from penstock.contracts.subjects import JOB, JOB_CANCEL, JOB_GET, JOB_LIST, JOB_PUBLISH, JOB_SUBMIT
from services.orchestrator.config import Config
from tests.services.orchestrator.conftest import Start
from tests.services.orchestrator.test_jobs import job
from tests.support.eventually import eventually
from tests.support.run_peers import Peers, bus_at, run_peers
from tests.support.tokens import TestSigner


async def publish(peers: Peers, one: Job, tenant: str = "acme", **meta: object) -> None:
    stamped = peers.meta(tenant, **meta)
    await peers.bus.assign(JOB, one, stamped, tenant=tenant, kind=one.kind)


async def dead_letters(peers: Peers) -> list[str]:
    records = await peers.bus.jetstream.read(DLQ.name, "penstock.dlq.JOBS", limit=100)
    return [record.headers["Nats-Service-Error"] for record in records]


async def told(peers: Peers, id: str, tenant: str = "acme") -> JobEvent:
    """The one event of a job that was refused, once it is there."""

    async def check() -> JobEvent:
        (event,) = await peers.events(id, tenant)
        return event

    async def soon() -> JobEvent:
        assert await peers.events(id, tenant)
        return await check()

    return await eventually(soon)


async def refusal(peers: Peers, one: Job) -> Failure:
    with pytest.raises(Failure) as refused:
        await peers.submit(one)
    return refused.value


async def test_a_job_published_while_nobody_was_there_is_carried_out_later(peers: Peers, start: Start) -> None:
    await publish(peers, job("chat", "hi", id="job_a"))
    async with start():
        assert (await peers.ended("job_a")).state == "completed"


async def test_the_same_job_twice_is_one_run(peers: Peers, start: Start) -> None:
    one = job("chat", "hi", idempotency_key="key-1")
    async with start():
        first = await peers.submit(one)
        second = await peers.submit(one, request="req_2")
        await publish(peers, one)
        await peers.ended(first.id)
    assert first.id == second.id == job_id("acme", "key-1")
    assert (first.duplicate, second.duplicate) == (False, True)
    assert peers.model_calls.total() == 1
    assert [event.n for event in await peers.events(first.id)] == [0, 1, 2, 3, 4]


async def test_the_same_request_sent_again_is_the_same_job(peers: Peers, start: Start) -> None:
    one = job("chat", "hi")
    async with start():
        first = await peers.submit(one, request="req_7")
        again = await peers.submit(one, request="req_7")
        other = await peers.submit(job("chat", "something else"), request="req_7")
    assert first.id == again.id != other.id


async def test_another_job_under_a_taken_id_is_a_conflict_and_leaves_the_first_alone(
    peers: Peers, start: Start
) -> None:
    async with start():
        await peers.submit(job("chat", "hi", id="job_a"))
        failure = await refusal(peers, job("chat", "bye", id="job_a"))
        assert failure.code is Code.CONFLICT
        await publish(peers, job("chat", "bye", id="job_a"))

        async def buried() -> None:
            assert await dead_letters(peers) == ["this id or idempotency key stands for another job"]

        await eventually(buried)
        await peers.ended("job_a")
    assert "refused" not in {event.type for event in await peers.events("job_a")}


async def test_two_tenants_may_have_jobs_of_the_same_id(peers: Peers, start: Start) -> None:
    peers.script = ["answer"]
    async with start():
        await peers.submit(job("chat", "from acme", id="job_a"))
        await peers.submit(job("chat", "from other", id="job_a"), tenant="other")
        ours, theirs = await peers.ended("job_a"), await peers.ended("job_a", tenant="other")
    assert ours.state == theirs.state == "completed"
    assert len(peers.bodies) == 2
    assert run_id("acme", "job_a") != run_id("other", "job_a")


@pytest.mark.parametrize(
    ("one", "code", "param"),
    [
        (job("agent", "x", id="job_a", agent="nobody"), "not_found", "agent"),
        (job("chat", {"messages": []}, id="job_a"), "invalid", "input.messages"),
        (job("tool", [1], id="job_a", tool="lookup"), "invalid", "input"),
    ],
    ids=["unknown agent", "no messages", "wrong arguments"],
)
async def test_a_job_that_asks_for_what_cannot_be_is_refused_with_a_reason_in_both_ways(
    peers: Peers, start: Start, one: Job, code: str, param: str
) -> None:
    async with start():
        failure = await refusal(peers, one)
        assert (failure.code.value, failure.param) == (code, param)
        await publish(peers, one)
        event = await told(peers, "job_a")
        assert (event.type, event.n) == ("refused", 0)
        assert event.error is not None and (event.error.code, event.error.param) == (code, param)
        view = await peers.view("job_a")
        assert view.state == "failed" and view.error == event.error

        async def buried() -> None:
            assert len(await dead_letters(peers)) == 1

        await eventually(buried)


async def test_a_job_that_policy_refuses_ends_denied(peers: Peers, start: Start) -> None:
    peers.denied["job.submit"] = Failure(Code.DENIED, "not on Sundays")
    async with start():
        failure = await refusal(peers, job("chat", "hi", id="job_a"))
        assert (failure.code, failure.detail) == (Code.DENIED, "not on Sundays")
        await publish(peers, job("chat", "hi", id="job_a"))
        event = await told(peers, "job_a")
        assert (event.type, event.detail) == ("denied", "not on Sundays")
        assert event.decision
        assert (await peers.view("job_a")).state == "denied"
        del peers.denied["job.submit"]
        await peers.submit(job("chat", "hi", id="job_a"))
        assert (await peers.ended("job_a")).state == "completed"


@pytest.mark.parametrize("token", ["", "nonsense", "expired", "other"])
async def test_a_job_without_a_good_token_of_its_tenant_is_refused(peers: Peers, start: Start, token: str) -> None:
    tokens = {
        "expired": peers.signer.token(exp=1.0),
        "other": peers.signer.token(tenant="other"),
    }
    async with start():
        await publish(peers, job("chat", "hi", id="job_a"), token=tokens.get(token, token))
        event = await told(peers, "job_a")
    assert event.error is not None
    assert event.error.code == ("denied" if token == "other" else "unauthenticated")
    assert not peers.questions


async def test_a_job_waits_while_policy_is_away_and_is_carried_out_when_it_is_back(
    peers: Peers, start: Start, lines: list[str]
) -> None:
    peers.denied["job.submit"] = Failure(Code.UNAVAILABLE, "away")
    async with start():
        await publish(peers, job("chat", "hi", id="job_a"))

        async def waits() -> None:
            assert sum("a job waits" in line for line in lines) >= 2

        await eventually(waits)
        peers.denied.clear()
        assert (await peers.ended("job_a")).state == "completed"
    assert await dead_letters(peers) == []


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"kind":"chat"}', b'{"kind":"chat","input":"x","bugdet":{"usd":1}}', b'{"kind":"dance","input":1}'],
    ids=["no json", "no object", "a field missing", "an unknown field", "an unknown kind"],
)
async def test_a_job_that_cannot_be_read_is_refused_where_its_id_is_known_and_blocks_nothing(
    peers: Peers, start: Start, body: bytes
) -> None:
    subject = JOB.subject.at(tenant="acme", kind="chat")
    headers = {"Penstock-Job": "job_a"}
    await peers.bus.jetstream.store(subject, body, headers, "message-1")
    async with start():
        event = await told(peers, "job_a")
        assert event.type == "refused"
        assert event.error is not None and event.error.code == "invalid"
        await publish(peers, job("chat", "hi", id="job_b"))
        assert (await peers.ended("job_b")).state == "completed"


async def test_jobs_that_an_older_version_left_in_the_queue_are_carried_out_after_the_set_up(
    nats_url: str, start: Start
) -> None:
    former = replace(JOBS, subjects=(JOB_PUBLISH.subject.wildcard,))
    admit = replace(JOB.consumer, store=former, filter=JOB_PUBLISH.subject.wildcard)
    signer = TestSigner()
    async with bus_at(nats_url) as bus:
        await Setup(bus.jetstream).prepare(Table((former, DLQ), (), (admit,)))
        headers = {"Authorization": f"Bearer {signer.token(tenant='acme')}", "Penstock-Idempotency-Key": "key-2"}
        subject = JOB_PUBLISH.subject.at(tenant="acme", kind="chat")
        await bus.jetstream.store(subject, b'{"kind":"chat","input":"hi","id":"job_a"}', headers, "message-1")
        await bus.jetstream.store(subject, b"not json", headers, "message-2")
        assert await bus.prepare() != []
        assert await bus.drift("orchestrator") == []
    async with run_peers(nats_url, signer=signer) as peers, start():
        assert (await peers.ended("job_a")).state == "completed"
        assert (await told(peers, job_id("acme", "key-2"))).type == "refused"
        await publish(peers, job("chat", "hi", id="job_b"))
        assert (await peers.ended("job_b")).state == "completed"


async def test_a_kind_that_does_not_fit_its_subject_is_refused(peers: Peers, start: Start) -> None:
    async with start():
        await peers.bus.assign(JOB, job("tool", {}, id="job_a", tool="pay"), peers.meta(), tenant="acme", kind="chat")
        event = await told(peers, "job_a")
    assert event.error is not None and event.error.param == "kind"


async def test_another_tenants_job_is_not_found(peers: Peers, start: Start) -> None:
    async with start():
        await peers.submit(job("chat", "hi", id="job_a"))
        await peers.ended("job_a")
        ref = JobRef("job_a")
        for call in (JOB_GET, JOB_CANCEL):
            with pytest.raises(Failure) as refused:
                await peers.bus.call(call, ref, peers.meta("other"), timeout_s=5, tenant="other")
            assert refused.value.code is Code.NOT_FOUND
        page = await peers.bus.call(JOB_LIST, JobListRequest(), peers.meta("other"), timeout_s=5, tenant="other")
        assert page.jobs == []


async def test_a_token_of_one_tenant_does_not_work_on_the_subjects_of_another(peers: Peers, start: Start) -> None:
    async with start():
        with pytest.raises(Failure) as refused:
            await peers.bus.call(JOB_SUBMIT, job("chat", "hi"), peers.meta("acme"), timeout_s=5, tenant="other")
    assert refused.value.code is Code.DENIED


async def test_the_list_shows_jobs_with_the_newest_first(peers: Peers, start: Start) -> None:
    async with start():
        for id in ("job_a", "job_b"):
            await peers.submit(job("chat", "hi", id=id, labels={"n": id}))
            await peers.ended(id)

        async def both() -> list[JobView]:
            page = await peers.bus.call(JOB_LIST, JobListRequest(), peers.meta(), timeout_s=5, tenant="acme")
            assert [(view.id, view.state) for view in page.jobs] == [("job_b", "completed"), ("job_a", "completed")]
            return page.jobs

        views = await eventually(both)
    assert views[0].labels == {"n": "job_b"}
    assert views[0].subject == "user:alice"


async def test_reading_and_cancelling_are_asked_of_policy(peers: Peers, start: Start) -> None:
    async with start():
        await peers.submit(job("chat", "hi", id="job_a"))
        await peers.ended("job_a")
        peers.denied["job.read"] = Failure(Code.DENIED, "no reading")
        with pytest.raises(Failure) as refused:
            await peers.view("job_a")
        assert refused.value.code is Code.DENIED
    question = next(one for one in peers.questions if one.action.name == "job.read")
    assert (question.resource.type, question.resource.id) == ("Job", "chat")
    assert question.resource.properties == {"owner": "user:alice"}


async def test_the_agents_file_is_read_anew_and_a_bad_one_changes_nothing(
    peers: Peers, start: Start, config: Config, lines: list[str]
) -> None:
    file = Path(config.agents_file)
    async with start():
        assert (await refusal(peers, job("agent", "x", agent="new"))).code is Code.NOT_FOUND
        file.write_text("agents: [{name: new, instructions: Hi}]")

        async def accepted() -> None:
            assert any("agents read anew" in line for line in lines)

        await eventually(accepted)
        await peers.submit(job("agent", "x", id="job_a", agent="new"))
        file.write_text("agents: [{name: new}]")

        async def warned() -> None:
            assert any("the agents file is not used" in line for line in lines)

        await eventually(warned)
        await peers.submit(job("agent", "x", id="job_b", agent="new"))


async def test_no_token_is_ever_logged(peers: Peers, start: Start, lines: list[str]) -> None:
    meta = peers.meta()
    async with start():
        await peers.bus.call(JOB_SUBMIT, job("chat", "hi", id="job_a"), meta, timeout_s=5, tenant="acme")
        await peers.ended("job_a")
    assert not any(meta.token in line for line in lines)
