"""Chains and revoked runs by the client library and by the command, over a tenant's own connection."""

import asyncio
import json
from pathlib import Path

import pytest

from penstock.cli.exits import Exit
from penstock.cli.main import main
from penstock.client import Penstock
from penstock.contracts.delegation import RunRevoked
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import POLICY_DELEGATE
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Delegate
from tests.services.policy.conftest import Plane


async def two_runs(plane: Plane, key: str) -> None:
    token = (await plane.authenticate(key)).token
    for run, agent in (("run_1", "agent:clerk"), ("run_2", "agent:writer")):
        asked = Delegate(run, agent, budget_nano=2_000_000_000)
        token = (await plane.bus.call(POLICY_DELEGATE, asked, Meta(token=token), timeout_s=5)).token


async def test_a_client_sees_a_chain_and_ends_a_run(plane: Plane) -> None:
    key = plane.key()
    async with (
        plane.policy(),
        await Penstock.connect(plane.broker.url, tenant="acme", api_key=key) as client,
    ):
        await two_runs(plane, key)
        chain = await client.chain("run_2")
        assert [one.link.actor for one in chain.links] == ["agent:clerk", "agent:writer"]
        assert await client.revoke_run("run_1", "astray") == RunRevoked("run_1")
        assert [one.revoked for one in (await client.chain("run_2")).links] == [True, True]
        with pytest.raises(Failure) as raised:
            await client.revoke_run("run_9")
        assert raised.value.code is Code.NOT_FOUND


async def test_the_command_shows_a_chain_and_ends_a_run(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    key = plane.key()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PENSTOCK_URL", plane.broker.url)
    monkeypatch.setenv("PENSTOCK_TENANT", "acme")
    monkeypatch.setenv("PENSTOCK_API_KEY", key)
    monkeypatch.setenv("COLUMNS", "250")

    async def penstock(*arguments: str) -> tuple[int, str]:
        status = await asyncio.to_thread(main, ["runs", *arguments])
        return status, capsys.readouterr().out

    async with plane.policy():
        await two_runs(plane, key)
        status, shown = await penstock("chain", "run_2")
        assert status == Exit.OK
        assert "agent:writer" in shown and "user:alice > agent:clerk" in shown
        assert "$2 of $2" in shown
        assert await penstock("revoke", "run_2", "astray") == (0, "revoked: run_2 and every run below it\n")
        _, as_json = await penstock("chain", "run_2", "--json")
        assert [one.get("revoked", False) for one in json.loads(as_json)["links"]] == [False, True]
        status, _ = await penstock("revoke", "run_9")
        assert status == Exit.NOT_FOUND
