"""Approvals by the client and the command line, over a real broker and a real policy service."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

import pytest

from penstock.bus import Bus, BusConfig
from penstock.cli.desk import Desk
from penstock.cli.exits import Exit
from penstock.cli.main import parser
from penstock.cli.screen import Screen
from penstock.client import Limits, Penstock
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import POLICY_AUTHENTICATE, POLICY_EVALUATE
from penstock.contracts.ids import new_id
from penstock.contracts.meta import Meta
from penstock.contracts.policy import ActionName, Authenticate, Entity, Question
from penstock.kit.config import Secret
from penstock.kit.log import Log
from penstock.kit.service import running
from services.policy.config import Config
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey
from services.policy.main import build
from services.policy.rulebook import STARTER
from tests.support.nats_server import NatsServer
from tests.support.valkey_server import ValkeyServer

QUICK = Limits(silence_s=0.2, pause_s=0.02, patience_s=10.0)
HELD = '@id("p") @approval("finance") permit (principal, action == Action::"tool.call", resource == Tool::"pay");'


@dataclass
class Office:
    """Alice's and Bob's connections; `ask` is what a service does for Alice."""

    bus: Bus
    alice: Penstock
    bob: Penstock
    url: str
    keys: dict[str, str]

    async def ask(self, digest: str = "a") -> str:
        """The approval that her payment waits for."""
        question = Question(ActionName("tool.call"), Entity("Tool", "pay"), new_id("att"), arguments_digest=digest)
        identity = await self.bus.call(POLICY_AUTHENTICATE, Authenticate(self.keys["alice"]), Meta())
        meta = Meta(request=new_id("req"), token=identity.token)
        return (await self.bus.call(POLICY_EVALUATE, question, meta, timeout_s=8)).context.approval

    def desk(self, who: str, tmp_path: Path) -> Desk:
        environment = {
            "PENSTOCK_URL": self.url,
            "PENSTOCK_TENANT": "acme",
            "PENSTOCK_API_KEY": self.keys[who],
            "PENSTOCK_DATA": str(tmp_path / "none"),
        }
        return Desk(Screen(json=False), environment, tmp_path, tmp_path)

    async def command(self, who: str, tmp_path: Path, *line: str) -> Exit:
        arguments = parser().parse_args(["approvals", *line])
        desk = self.desk(who, tmp_path)
        result: Exit = await arguments.run(desk, arguments)
        return result


@pytest.fixture
async def office(broker: NatsServer, valkey: ValkeyServer, tmp_path: Path) -> AsyncIterator[Office]:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for file in STARTER.iterdir():
        if file.name != "tests.yaml":
            (bundle / file.name).write_bytes(file.read_bytes())
    (bundle / "more.cedar").write_text(HELD)
    keys = {
        name: create_key(
            tmp_path / "keys.json", ApiKey("", "", "acme", f"user:{name}", scopes=("*",), team=team), now=1.0
        )[1]
        for name, team in (("alice", ""), ("bob", "finance"))
    }
    config = Config(
        nats_url=broker.url,
        store_url=Secret(valkey.url),
        data_dir=str(tmp_path),
        bundle_dir=str(bundle),
        approvals_look_every_s=0.05,
        drain_s=2.0,
    )
    bus = await Bus.connect(BusConfig(url=broker.url, principal="router"))
    await bus.prepare()
    async with running(build, config, "policy", log=Log(lambda line: None)):
        alice = await Penstock.connect(broker.url, tenant="acme", api_key=keys["alice"], limits=QUICK)
        bob = await Penstock.connect(broker.url, tenant="acme", api_key=keys["bob"], limits=QUICK)
        async with alice, bob:
            yield Office(bus, alice, bob, broker.url, keys)
    await bus.close()


async def test_whoever_asked_hears_of_the_answer_at_once(office: Office) -> None:
    id = await office.ask()
    waiting = asyncio.create_task(office.alice.answered(id))
    await office.bob.answer(id, "approve", "fine")
    approval = await asyncio.wait_for(waiting, 10)
    assert (approval.state, approval.answers[0].reason) == ("approved", "fine")


async def test_an_approver_follows_what_comes_and_how_it_ends(office: Office) -> None:
    first = await office.ask("a")
    seen: list[tuple[str, str]] = []
    async with aclosing(office.bob.follow_approvals()) as approvals:
        async for approval in approvals:
            seen.append((approval.id, approval.state))
            if len(seen) == 1:
                second = await office.ask("b")
            elif len(seen) == 2:
                await office.bob.answer(first, "deny")
            elif len(seen) == 3:
                break
    assert seen == [(first, "pending"), (second, "pending"), (first, "denied")]


async def test_who_may_not_answer_and_what_is_not_there_are_failures(office: Office) -> None:
    id = await office.ask()
    for call, code in ((office.alice.answer(id, "approve"), Code.DENIED), (office.bob.answered("x y"), Code.NOT_FOUND)):
        with pytest.raises(Failure) as raised:
            await call
        assert raised.value.code is code


async def test_the_command_line_lists_shows_and_answers(
    office: Office, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    id = await office.ask()
    assert await office.command("bob", tmp_path, "list") is Exit.OK
    assert id in capsys.readouterr().out
    shown = asyncio.create_task(office.command("alice", tmp_path, "show", id, "--follow"))
    assert await office.command("bob", tmp_path, "deny", id, "not today") is Exit.OK
    assert await asyncio.wait_for(shown, 15) is Exit.DENIED
    out = capsys.readouterr().out
    assert 'denied: tool.call Tool::"pay"' in out
    assert "by user:bob" in out and "not today" in out
    with pytest.raises(Failure) as raised:
        await office.command("bob", tmp_path, "approve", id)
    assert raised.value.code is Code.CONFLICT


async def test_json_is_the_approval_itself(office: Office, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    id = await office.ask()
    arguments = parser().parse_args(["approvals", "show", id, "--json"])
    desk = office.desk("bob", tmp_path)
    await arguments.run(Desk(Screen(json=True), desk.environment, desk.here, desk.home), arguments)
    assert json.loads(capsys.readouterr().out)["id"] == id
