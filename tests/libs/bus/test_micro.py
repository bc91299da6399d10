"""The NATS micro protocol, as another client sees it."""

import re

import msgspec
import nats
import pytest
from nats.aio.client import Client

from penstock.bus.micro import Description, EndpointStats, Micro, MicroEndpoint
from tests.support.verbs import verbs_bus

ROUTER = Description(
    "router",
    "0.1.0",
    "Chooses the model deployment",
    (
        MicroEndpoint("complete", "penstock.llm.complete", "router"),
        MicroEndpoint("embed", "penstock.llm.embed", "router"),
    ),
    {"region": "eu"},
)


async def ask(client: Client, subject: str) -> dict[str, object]:
    reply = await client.request(subject, b"", timeout=2)
    answer: dict[str, object] = msgspec.json.decode(reply.data)
    return answer


@pytest.mark.parametrize("tail", ["", ".router", ".router.<id>"])
async def test_ping_is_answered_at_all_three_subjects(nats_url: str, tail: str) -> None:
    async with verbs_bus(nats_url, prepared=False) as bus:
        await Micro(bus.connection, ROUTER).start()
        client = await nats.connect(nats_url)
        id = bus.connection.instance
        answer = await ask(client, "$SRV.PING" + tail.replace("<id>", id))
        await client.close()
    assert answer == {
        "name": "router",
        "id": id,
        "version": "0.1.0",
        "metadata": {"region": "eu"},
        "type": "io.nats.micro.v1.ping_response",
    }


async def test_info_names_the_endpoints(nats_url: str) -> None:
    async with verbs_bus(nats_url, prepared=False) as bus:
        await Micro(bus.connection, ROUTER).start()
        client = await nats.connect(nats_url)
        answer = await ask(client, "$SRV.INFO.router")
        await client.close()
    assert answer["type"] == "io.nats.micro.v1.info_response"
    assert answer["description"] == "Chooses the model deployment"
    assert answer["endpoints"] == [
        {"name": "complete", "subject": "penstock.llm.complete", "queue_group": "router"},
        {"name": "embed", "subject": "penstock.llm.embed", "queue_group": "router"},
    ]


async def test_stats_are_those_that_the_service_counts(nats_url: str) -> None:
    counted = [EndpointStats("complete", "penstock.llm.complete", "router", 5, 1, "upstream", 5000, 1000)]
    async with verbs_bus(nats_url, prepared=False) as bus:
        await Micro(bus.connection, ROUTER, lambda: counted).start()
        client = await nats.connect(nats_url)
        answer = await ask(client, "$SRV.STATS.router")
        await client.close()
    assert answer["type"] == "io.nats.micro.v1.stats_response"
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", str(answer["started"]))
    assert answer["endpoints"] == [
        {
            "name": "complete",
            "subject": "penstock.llm.complete",
            "queue_group": "router",
            "num_requests": 5,
            "num_errors": 1,
            "last_error": "upstream",
            "processing_time": 5000,
            "average_processing_time": 1000,
        }
    ]


async def test_every_instance_answers_and_none_after_it_stopped(nats_url: str) -> None:
    async with verbs_bus(nats_url, prepared=False) as one, verbs_bus(nats_url, prepared=False) as two:
        services = [Micro(bus.connection, ROUTER) for bus in (one, two)]
        for service in services:
            await service.start()
        client = await nats.connect(nats_url)
        inbox = client.new_inbox()
        replies = await client.subscribe(inbox)
        await client.publish("$SRV.PING", b"", reply=inbox)
        ids = {msgspec.json.decode((await replies.next_msg(timeout=2)).data)["id"] for _ in range(2)}
        assert ids == {one.connection.instance, two.connection.instance}
        await services[0].stop()
        await one.connection.round_trip(2)
        assert (await ask(client, "$SRV.PING.router"))["id"] == two.connection.instance
        with pytest.raises(nats.errors.NoRespondersError):
            await client.request(f"$SRV.PING.router.{one.connection.instance}", b"", timeout=2)
        await client.close()


async def test_a_message_without_reply_subject_is_ignored(nats_url: str) -> None:
    async with verbs_bus(nats_url, prepared=False) as bus:
        await Micro(bus.connection, ROUTER).start()
        client = await nats.connect(nats_url)
        await client.publish("$SRV.PING", b"x" * 1000)
        assert (await ask(client, "$SRV.PING"))["name"] == "router"
        await client.close()
