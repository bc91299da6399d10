"""The broker's auth callout on a real server: who gets in, what with, and what happens when nobody or two answer."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from penstock.bus import Bus, BusConfig, Message
from penstock.bus.callout import Callout, Guest
from penstock.bus.callout_jwt import Knock, Pass
from penstock.bus.callout_keys import callout_keys, make_callout_keys
from penstock.bus.nkey import load_or_make
from penstock.bus.permissions import CALLOUT_QUESTIONS, tenant_grants
from penstock.contracts.errors import Code, Failure
from penstock.contracts.services import SERVICES
from tests.support.eventually import eventually
from tests.support.guarded import ALMIGHTY, Guarded, guarded_broker
from tests.support.rights import settle

VIOLATION = "-ERR 'Authorization Violation'"


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    async with guarded_broker(tmp_path) as guarded:
        yield guarded


def allowed(**changed: object) -> Pass:
    grants = tenant_grants("acme")
    return msgspec.structs.replace(Pass("key.one", grants, time.time() + 60), **changed)


class Gate:
    """Lets in who says `good`; remembers what it was asked."""

    def __init__(self, **changed: object) -> None:
        self.asked: list[Knock] = []
        self._changed = changed

    async def decide(self, knock: Knock) -> Pass:
        self.asked.append(knock)
        if not knock.credential.startswith("good"):
            raise Failure(Code.UNAUTHENTICATED, "not good")
        return allowed(**self._changed)


async def names(callout: Callout) -> list[str]:
    return [guest.name for guest in await callout.guests() if not guest.name.startswith("U")]


async def test_a_client_gets_in_by_token_or_by_password_and_asks_and_is_answered(guarded: Guarded) -> None:
    gate = Gate()
    async with (
        guarded.answered(gate.decide),
        guarded.bus(guarded.service("orchestrator")) as orchestrator,
        guarded.plain(token="good") as by_token,
        guarded.plain(user="any", password="good") as by_password,
    ):

        def answer(message: Message) -> None:
            orchestrator.connection.publish(message.reply, b"done")

        await orchestrator.connection.subscribe("penstock.v1.*.api.get", answer)
        await orchestrator.connection.round_trip(2)
        for client in (by_token, by_password):
            reply = await client.request("penstock.v1.acme.api.get", b"{}", timeout=5)
            assert reply.data == b"done"
    assert [knock.credential for knock in gate.asked] == ["good", "good"]
    assert gate.asked[0].host == "127.0.0.1"


async def test_a_client_that_is_refused_is_told_so_and_never_why(guarded: Guarded) -> None:
    async with guarded.answered(Gate().decide):
        assert await guarded.told(auth_token="bad") == VIOLATION
        assert await guarded.told(**{"user": "good", "pass": "bad"}) == VIOLATION
        assert await guarded.told() == VIOLATION
    assert "bad" not in guarded.broker.log


async def test_our_own_client_tells_a_key_that_is_not_taken_from_a_policy_that_is_away(guarded: Guarded) -> None:
    async with guarded.answered(Gate().decide):
        with pytest.raises(Failure, match="does not take this API key") as caught:
            await Bus.connect(guarded.guest("bad", connect_timeout_s=0.3))
    assert caught.value.code is Code.UNAUTHENTICATED
    with pytest.raises(Failure, match="policy, which it asks, does not answer") as caught:
        await Bus.connect(guarded.guest("good", connect_timeout_s=2.5))
    assert caught.value.code is Code.UNAVAILABLE


async def test_a_client_that_is_refused_comes_again_less_and_less_often(guarded: Guarded) -> None:
    gate = Gate()
    async with guarded.answered(gate.decide):
        with pytest.raises(Failure):
            await Bus.connect(guarded.guest("bad", connect_timeout_s=1.0, reconnect_wait_s=0.02))
    assert 3 <= len(gate.asked) <= 8  # it would be fifty


async def test_while_nobody_answers_a_client_is_refused_and_gets_in_when_somebody_does(guarded: Guarded) -> None:
    assert await guarded.told(auth_token="good") == VIOLATION
    connecting = asyncio.create_task(Bus.connect(guarded.guest("good", connect_timeout_s=20)))
    await eventually(lambda: _logged(guarded, "authentication error"))
    async with guarded.answered(Gate().decide):
        bus = await connecting
        await bus.close()


async def test_the_planes_services_get_in_while_nobody_answers_and_after_the_broker_has_restarted(
    guarded: Guarded,
) -> None:
    async with AsyncExitStack() as stack:
        buses = [await stack.enter_async_context(guarded.bus(guarded.service(name))) for name in SERVICES]
        await guarded.broker.restart()

        async def all_back() -> None:
            assert all(bus.connection.reconnects == 1 and bus.connected for bus in buses)

        await eventually(all_back)


async def test_after_a_restart_of_the_broker_clients_and_whoever_answers_are_back(guarded: Guarded) -> None:
    async with guarded.answered(Gate().decide) as callout, guarded.bus(guarded.guest("good")) as bus:
        await guarded.broker.kill()
        await guarded.broker.start()

        async def back() -> None:
            assert bus.connected and bus.connection.reconnects == 1
            assert await names(callout) == ["key.one"]

        await eventually(back, within_s=20)


async def test_a_slow_answer_is_no_answer_and_the_client_comes_again(guarded: Guarded) -> None:
    slow = asyncio.Event()
    asked: list[str] = []

    async def decide(knock: Knock) -> Pass:
        asked.append(knock.credential)
        if len(asked) == 1:
            await slow.wait()
        return allowed()

    async with guarded.answered(decide), guarded.bus(guarded.guest("good", connect_timeout_s=20)) as bus:
        assert bus.connected
        assert asked == ["good", "good"]
        slow.set()


async def test_a_server_that_waits_longer_is_not_taken_for_one_that_has_let_us_in(tmp_path: Path) -> None:
    """After two seconds it pings whoever is connected, and nats-py takes the first line that is no error for a yes."""

    def patient(config: str) -> str:
        return config.replace("timeout: 1.8", "timeout: 3.5")

    async with guarded_broker(tmp_path, patient) as guarded:
        with pytest.raises(Failure, match="cannot be reached"):
            await Bus.connect(guarded.guest("good", connect_timeout_s=3.0))


async def test_two_answer_in_turns_and_when_one_is_gone_the_other_answers_all(guarded: Guarded) -> None:
    gates = [Gate(), Gate()]
    async with guarded.answered(gates[0].decide):
        async with guarded.answered(gates[1].decide):
            for _ in range(30):
                async with guarded.plain(token="good"):
                    pass
        assert sum(len(gate.asked) for gate in gates) == 30
        assert all(gate.asked for gate in gates)
        before = len(gates[0].asked)
        for _ in range(5):
            async with guarded.plain(token="good"):
                pass
        assert len(gates[0].asked) == before + 5


async def test_two_hundred_clients_at_once_all_get_in(guarded: Guarded) -> None:
    async with guarded.answered(Gate().decide) as callout:
        buses = await asyncio.gather(*(Bus.connect(guarded.guest("good", connect_timeout_s=30)) for _ in range(200)))
        assert await names(callout) == ["key.one"] * 200
        assert len(await callout.guests(page_max=30)) == 200
        await asyncio.gather(*(bus.close() for bus in buses))


async def test_beyond_what_is_decided_at_once_a_question_is_dropped_and_the_client_comes_again(
    guarded: Guarded,
) -> None:
    one = asyncio.Event()

    async def decide(knock: Knock) -> Pass:
        await one.wait()
        return allowed()

    async with guarded.answered(decide, in_flight_max=1) as callout:
        connecting = [asyncio.create_task(Bus.connect(guarded.guest("good", connect_timeout_s=30))) for _ in range(3)]

        async def dropped() -> None:
            assert callout.undecided > 0

        await eventually(dropped)
        one.set()
        for bus in await asyncio.gather(*connecting):
            await bus.close()


async def test_a_connection_ends_when_its_pass_does(guarded: Guarded) -> None:
    async with guarded.answered(Gate(expires=time.time() + 2).decide):
        closed = asyncio.Event()

        async def on_closed() -> None:
            closed.set()

        async with guarded.plain(token="good", closed_cb=on_closed):
            await asyncio.wait_for(closed.wait(), 10)


async def test_a_connection_that_is_shown_out_ends_at_once_and_its_client_must_ask_again(guarded: Guarded) -> None:
    gate = Gate()
    async with guarded.answered(gate.decide) as callout, guarded.bus(guarded.guest("good")) as bus:

        async def settled_in() -> Guest:
            (guest,) = [guest for guest in await callout.guests() if guest.name == "key.one"]
            assert guest.subscriptions == 1  # its inbox
            return guest

        guest = await eventually(settled_in)
        await callout.show_out(guest)

        async def asked_again() -> None:
            assert len(gate.asked) == 2 and bus.connection.reconnects == 1

        await eventually(asked_again)
        await callout.show_out(guest)  # it is gone: nothing happens
        assert bus.connected


async def test_a_pass_of_another_issuer_is_not_believed(guarded: Guarded, tmp_path: Path) -> None:
    make_callout_keys(tmp_path / "others")
    for name in ("user.seed", "curve.seed"):
        (tmp_path / "others" / name).write_bytes((guarded.callout_dir / name).read_bytes())
    gate = Gate()
    async with guarded.answered(gate.decide, keys=tmp_path / "others"):
        assert await guarded.told(auth_token="good") == VIOLATION
    assert len(gate.asked) == 1


async def test_questions_are_sealed_and_one_that_is_not_is_left_unanswered(tmp_path: Path) -> None:
    def unsealed(config: str) -> str:
        return "\n".join(line for line in config.splitlines() if "xkey:" not in line)

    gate = Gate()
    async with guarded_broker(tmp_path, unsealed) as guarded, guarded.answered(gate.decide):
        assert await guarded.told(auth_token="good") == VIOLATION
    assert gate.asked == []


async def test_whoever_may_do_everything_in_the_planes_account_neither_asks_nor_hears_nor_answers(
    guarded: Guarded,
) -> None:
    gate = Gate()
    heard: list[bytes] = []
    config = guarded.service(ALMIGHTY)
    async with guarded.answered(gate.decide), guarded.bus(config) as almighty:
        await almighty.connection.subscribe(CALLOUT_QUESTIONS, lambda message: heard.append(message.data))
        await almighty.connection.subscribe("$SYS.>", lambda message: heard.append(message.data))
        async with guarded.plain(token="good-secret"):
            pass
        assert len(gate.asked) == 1
        heard.clear()
        almighty.connection.publish(CALLOUT_QUESTIONS, b"a forged question", reply="_INBOX.x")
        await almighty.connection.round_trip(2)
        async with guarded.plain(token="good"):
            pass
        assert len(gate.asked) == 2  # the honest one that came after it
        assert b"good" not in b"".join(heard)


@pytest.mark.parametrize(
    "subject",
    [
        "$SYS.REQ.SERVER.PING.CONNZ",
        "$SYS.REQ.SERVER.PING.VARZ",
        "$SYS.REQ.SERVER.NX.RELOAD",
        "$SYS.REQ.SERVER.NX.LDM",
        "$SYS.REQ.ACCOUNT.PENSTOCK.SUBSZ",
        "$SYS.REQ.ACCOUNT.SYS.CONNZ",
        "$SYS._INBOX.x",
        "$SYS.REQ.USER.AUTH",
        "penstock.v1.acme.jobs.chat",
    ],
)
async def test_who_answers_may_do_nothing_else_in_the_system_account(guarded: Guarded, subject: str) -> None:
    denied: list[str] = []
    async with guarded.plain(denied, nkeys_seed=str(guarded.callout_dir / "user.seed")) as client:
        await client.publish(subject, b"{}")
        await settle(client)
        assert any("permissions violation for publish" in text.lower() for text in denied)
        for wide in ("$SYS.>", "$SYS.ACCOUNT.>", "$SYS.SERVER.>", ">", "_INBOX.>"):
            denied.clear()
            await client.subscribe(wide)
            await settle(client)
            assert any("permissions violation for subscription" in text.lower() for text in denied), wide


async def test_no_credential_is_so_odd_that_it_breaks_who_answers(guarded: Guarded) -> None:
    gate = Gate()
    odd = ["psk_abc_\u202e\u0000\U0001f511", "\ud800", "{}", "a" * 3000, '"\\', "\r\nPING\r\n", "$SYS.>"]
    async with guarded.answered(gate.decide):
        for credential in odd:
            assert await guarded.told(auth_token=credential) == VIOLATION
        assert await guarded.told(auth_token="good \u00e9\u0301") == "PONG"
    asked = [knock.credential for knock in gate.asked]
    assert asked == [*odd[:1], "\ufffd", *odd[2:], "good \u00e9\u0301"]


async def test_a_bug_in_whoever_decides_lets_nobody_in_and_says_nothing_of_the_credential(
    guarded: Guarded, caplog: pytest.LogCaptureFixture
) -> None:
    async def decide(knock: Knock) -> Pass:
        if knock.credential == "good":
            return allowed()
        raise ValueError(knock.credential)

    async with guarded.answered(decide):
        assert await guarded.told(auth_token="a-secret") == VIOLATION
        assert await guarded.told(auth_token="good") == "PONG"
    assert "callout failed" in caplog.text
    assert "a-secret" not in caplog.text


async def test_a_stranger_with_an_nkey_of_its_own_is_asked_about_like_everybody(guarded: Guarded) -> None:
    load_or_make(guarded.seeds / "stranger")
    gate = Gate()
    async with guarded.answered(gate.decide):
        with pytest.raises(Failure, match="Authorization Violation"):
            await Bus.connect(guarded.service("stranger", connect_timeout_s=0.2))
    assert {knock.credential for knock in gate.asked} == {""}


async def test_who_is_to_answer_with_a_bad_seed_is_told_which_file_it_is(guarded: Guarded) -> None:
    (guarded.callout_dir / "curve.seed").write_bytes(b"SUnothing")
    with pytest.raises(Failure, match=r"curve\.seed holds no seed") as caught:
        async with guarded.answered(Gate().decide):
            pass
    assert caught.value.code is Code.INVALID


async def test_a_broker_that_does_not_know_us_refuses_us(guarded: Guarded, tmp_path: Path) -> None:
    make_callout_keys(tmp_path / "others")
    with pytest.raises(Failure, match="Authorization Violation"):
        config = BusConfig(url=guarded.broker.url, connect_timeout_s=2.5)
        await Callout.open(config, callout_keys(tmp_path / "others"), Gate().decide, in_flight_max=1)


async def _logged(guarded: Guarded, text: str) -> None:
    assert text in guarded.broker.log
