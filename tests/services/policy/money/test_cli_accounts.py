"""`penstock accounts` against a policy service."""

import asyncio
import json

import pytest

from penstock.cli.exits import Exit
from penstock.cli.main import main
from tests.services.policy.conftest import Plane, complete
from tests.support.eventually import eventually


@pytest.fixture
def profile(plane: Plane, monkeypatch: pytest.MonkeyPatch) -> str:
    """The command line finds this plane, as Alice."""
    credential = plane.key(usd=0.5)
    monkeypatch.chdir(plane.folder)
    monkeypatch.setenv("PENSTOCK_URL", plane.broker.url)
    monkeypatch.setenv("PENSTOCK_TENANT", "acme")
    monkeypatch.setenv("PENSTOCK_API_KEY", credential)
    return credential


async def test_accounts_are_listed_shown_and_stated(
    plane: Plane, profile: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with plane.policy():
        token = (await plane.authenticate(profile)).token
        await plane.evaluate(complete(1000, 20, attempt="att_1"), token)
        await plane.outcome("att_1", 700, tokens=12)

        async def settled() -> None:
            assert (await plane.balances(token)).accounts[0].committed_nano == 700

        await eventually(settled)
        assert await asyncio.to_thread(main, ["accounts", "list", "--json"]) == Exit.OK
        (listed,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert (listed["committed_nano"], listed["limit_nano"], listed["tokens"]) == (700, 500_000_000, 12)

        assert await asyncio.to_thread(main, ["accounts", "list"]) == Exit.OK
        assert "$0.000001 of $0.5" in capsys.readouterr().out
        assert await asyncio.to_thread(main, ["accounts", "statement", "user:alice"]) == Exit.OK
        shown = capsys.readouterr().out
        assert 'Model::"default"' in shown and "model.complete" in shown

        assert await asyncio.to_thread(main, ["accounts", "statement", "user:alice", "--csv"]) == Exit.OK
        header, line, *_ = capsys.readouterr().out.splitlines()
        assert header.startswith("time,attempt,subject,action") and ",att_1,user:alice,model.complete," in line

        assert await asyncio.to_thread(main, ["accounts", "show", "tenant:acme"]) == Exit.DENIED
        assert "account:admin" in capsys.readouterr().err
        bad = ["accounts", "statement", "user:alice", "--since", "soon"]
        assert await asyncio.to_thread(main, bad) == Exit.USAGE
