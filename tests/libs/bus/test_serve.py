"""The answering side against hostile askers: where it answers, what it keeps, what it survives."""

import asyncio
from collections.abc import AsyncIterator

import nats
import pytest

from penstock.bus import Message, Sender
from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from tests.support.echo import COUNT, ECHO, TENANT_ECHO, Ask, Pair, Said, pair
from tests.support.eventually import eventually


@pytest.fixture
async def both(nats_url: str) -> AsyncIterator[Pair]:
    async with pair(nats_url) as parties:
        yield parties


async def echo(ask: Ask, meta: Meta) -> Said:
    await asyncio.sleep(ask.wait_s)
    return Said(ask.text)


async def nothing_left(bus_of: Pair) -> None:
    async def empty() -> None:
        assert bus_of.answerer.in_flight == 0

    await eventually(empty)


@pytest.mark.parametrize(
    "reply",
    [
        "penstock.v1.umbrella.events.job_1",
        "$KV.keys.mine",
        "penstock.run.00.run_1.j",
        "_INBOX",
        "_INBOX.tenant.umbrella.c.1",
        "_INBOX.tenant.acme.c.a b".replace(" ", "\x01"),
    ],
)
async def test_nothing_is_answered_where_the_asker_could_not_write_itself(both: Pair, reply: str) -> None:
    heard: list[Message] = []
    await both.answerer.serve_call(TENANT_ECHO, echo, in_flight_max=5)
    await both.asker.connection.subscribe(reply, heard.append)
    both.asker.connection.publish("test.acme.echo", b'{"text":"x"}', reply=reply)
    assert await both.asker.call(TENANT_ECHO, Ask("after"), Meta(), tenant="acme") == Said("after")
    assert heard == []


async def test_a_tenants_own_inbox_is_answered(both: Pair) -> None:
    heard = asyncio.Event()
    await both.answerer.serve_call(TENANT_ECHO, echo, in_flight_max=5)
    await both.asker.connection.subscribe("_INBOX.tenant.acme.c.1", lambda _: heard.set())
    both.asker.connection.publish("test.acme.echo", b'{"text":"x"}', reply="_INBOX.tenant.acme.c.1")
    await asyncio.wait_for(heard.wait(), 2)


async def test_a_reply_subject_of_strange_bytes_does_not_cost_the_connection(both: Pair, nats_url: str) -> None:
    await both.answerer.serve_call(ECHO, echo, in_flight_max=5)
    _, writer = await asyncio.open_connection("127.0.0.1", int(nats_url.rpartition(":")[2]))
    # each of these bytes would become three when it is written back: more than a line of the protocol may have
    writer.write(b'CONNECT {"verbose":false}\r\nPUB test.echo _INBOX.%b 2\r\n{}\r\n' % (b"\xff" * 2000))
    writer.write(b"PING\r\n")
    await writer.drain()
    for _ in range(20):
        assert await both.asker.call(ECHO, Ask("still here"), Meta()) == Said("still here")
    assert both.answerer.connection.reconnects == 0
    assert both.answerer.connected
    writer.close()


async def test_two_askers_whose_inboxes_end_alike_are_both_answered(both: Pair) -> None:
    heard: list[str] = []
    await both.answerer.serve_call(ECHO, echo, in_flight_max=5)
    for inbox in ("_INBOX.one.1", "_INBOX.two.1"):
        await both.asker.connection.subscribe(inbox, lambda message: heard.append(message.subject))
    both.asker.connection.publish("test.echo", b'{"text":"x","wait_s":0.1}', reply="_INBOX.one.1")
    both.asker.connection.publish("test.echo", b'{"text":"x","wait_s":0.1}', reply="_INBOX.two.1")

    async def answered() -> None:
        assert sorted(heard) == ["_INBOX.one.1", "_INBOX.two.1"]

    await eventually(answered)


async def test_a_request_that_is_cancelled_in_the_same_breath_leaves_nothing_behind(both: Pair) -> None:
    await both.answerer.serve_call(ECHO, echo, in_flight_max=5)
    inbox = both.asker.connection.inbox(lambda _: None)
    both.asker.connection.publish("test.echo", b'{"text":"x","wait_s":30}', reply=inbox.subject)
    await both.asker.cancel(inbox.key)
    await both.asker.call(ECHO, Ask("after"), Meta())
    await nothing_left(both)


async def test_credit_with_a_call_does_not_make_it_a_stream(both: Pair) -> None:
    await both.answerer.serve_call(ECHO, echo, in_flight_max=5)
    for credit in ("64", "²", "9" * 5000):
        reply = await both.asker.connection.request(
            "test.echo", b'{"text":"x"}', headers={"Penstock-Credit": credit}, timeout_s=2
        )
        assert reply.data == b'{"text":"x"}'
    await nothing_left(both)


@pytest.mark.parametrize("credit", ["", "0", "-1", "²", "9" * 5000, "4097", "many"])
async def test_a_stream_without_credit_that_can_be_read_is_refused(both: Pair, credit: str) -> None:
    async def never(ask: Ask, meta: Meta, out: Sender) -> Said:
        raise AssertionError

    await both.answerer.serve_stream(COUNT, never, in_flight_max=5)
    reply = await both.asker.connection.request(
        "test.count", b'{"text":"1"}', headers={"Penstock-Credit": credit} if credit else None, timeout_s=2
    )
    assert reply.data == b'{"code":"invalid","detail":"a stream is asked for with credit"}'


@pytest.mark.parametrize("deadline", ["nan", "inf", "-inf", "1e999", "soon"])
async def test_a_deadline_that_is_no_time_is_invalid(both: Pair, deadline: str) -> None:
    await both.answerer.serve_call(ECHO, echo, in_flight_max=5)
    reply = await both.asker.connection.request(
        "test.echo", b'{"text":"x"}', headers={"Penstock-Deadline": deadline}, timeout_s=2
    )
    assert reply.headers["Nats-Service-Error-Code"] == "invalid"


@pytest.mark.parametrize("reference", ["x:²", "x:" + "9" * 5000, "x:-1", "x", "", "a.b:5", "x:5"])
async def test_a_reference_to_a_body_that_is_none_is_refused_and_not_a_bug(both: Pair, reference: str) -> None:
    await both.asker.prepare()
    await both.answerer.serve_call(ECHO, echo, in_flight_max=5)
    reply = await both.asker.connection.request("test.echo", b"", headers={"Penstock-Blob": reference}, timeout_s=4)
    assert reply.headers["Nats-Service-Error-Code"] in ("invalid", "not_found")


async def test_what_a_tenants_client_says_of_job_step_and_epoch_is_not_believed(both: Pair) -> None:
    seen: list[Meta] = []

    async def handler(ask: Ask, meta: Meta) -> Said:
        seen.append(meta)
        return Said("")

    await both.answerer.serve_call(TENANT_ECHO, handler, in_flight_max=1)
    await both.asker.call(TENANT_ECHO, Ask("x"), Meta(job="job_1", step="llm-1", epoch=9), tenant="acme")
    assert (seen[0].job, seen[0].step, seen[0].epoch) == ("", "", 0)


@pytest.mark.parametrize("header", ["Penstock-Request", "Penstock-Job", "Penstock-Step", "traceparent"])
async def test_a_header_longer_than_any_of_ours_is_invalid(both: Pair, header: str) -> None:
    await both.answerer.serve_call(ECHO, echo, in_flight_max=5)
    reply = await both.asker.connection.request("test.echo", b'{"text":"x"}', headers={header: "x" * 600}, timeout_s=2)
    assert reply.headers["Nats-Service-Error-Code"] == "invalid"


async def test_an_end_above_the_brokers_limit_is_a_failure_and_not_silence(both: Pair) -> None:
    async def wordy(ask: Ask, meta: Meta, out: Sender) -> Said:
        await out.send(b"one")
        return Said("x" * 1_100_000)

    await both.answerer.serve_stream(COUNT, wordy, in_flight_max=1)
    with pytest.raises(Failure) as caught:
        async with both.asker.stream(COUNT, Ask(""), Meta()) as reader:
            assert [frame async for frame in reader] == [b"one"]
    assert caught.value.code is Code.TOO_LARGE


async def test_a_stream_that_was_read_to_its_end_is_forgotten_at_once(both: Pair) -> None:
    async def short(ask: Ask, meta: Meta, out: Sender) -> Said:
        await out.send(b"one")
        return Said("")

    await both.answerer.serve_stream(COUNT, short, in_flight_max=1)
    async with both.asker.stream(COUNT, Ask(""), Meta()) as reader:
        assert [frame async for frame in reader] == [b"one"]
    await nothing_left(both)


async def test_a_plain_client_of_another_make_is_answered(both: Pair, nats_url: str) -> None:
    await both.answerer.serve_call(ECHO, echo, in_flight_max=5)
    client = await nats.connect(nats_url)
    reply = await client.request("test.echo", b'{"text":"hello"}', timeout=2)
    assert reply.data == b'{"text":"hello"}'
    await client.close()
