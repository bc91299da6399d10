"""Keys by the client library and by the command, over a tenant's own connection to a real plane."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from penstock.cli.exits import Exit
from penstock.cli.main import main
from penstock.client import Penstock
from penstock.contracts.errors import Code, Failure
from penstock.contracts.keys import KeyCreate
from tests.services.policy.conftest import Plane

ADMIN = ("*", "key:admin")


async def test_a_client_makes_shows_renews_and_ends_keys(plane: Plane) -> None:
    admin_key = plane.key(scopes=ADMIN)
    async with (
        plane.policy(),
        await Penstock.connect(plane.broker.url, tenant="acme", api_key=admin_key) as client,
    ):
        view, key = await client.keys.create(KeyCreate("", "nightly", scopes=("model.*",)))
        assert (await plane.authenticate(key)).key == view.id
        assert (await client.keys.show(view.id)).name == "nightly"
        assert view.id in [one.id async for one in client.keys.list()]
        _, new = await client.keys.rotate(view.id, grace_s=60)
        assert {(await plane.authenticate(one)).key for one in (key, new)} == {view.id}
        at = time.time() + 60
        assert (await client.keys.expire(view.id, at)).expires == at
        assert (await client.keys.revoke(view.id, reason="it was lost")).ids == (view.id,)
        with pytest.raises(Failure) as caught:
            await plane.authenticate(new)
        assert caught.value.code is Code.UNAUTHENTICATED


async def test_the_command_does_the_same_through_the_plane(
    plane: Plane, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("PENSTOCK_URL", plane.broker.url)
    monkeypatch.setenv("PENSTOCK_TENANT", "acme")
    monkeypatch.setenv("PENSTOCK_API_KEY", plane.key(scopes=ADMIN))

    async def penstock(*arguments: str) -> tuple[int, list[dict[str, object]]]:
        status = await asyncio.to_thread(main, ["keys", *arguments, "--json"])
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    async with plane.policy():
        _, (made,) = await penstock("create", "ci", "--scope", "model.*", "--usd", "5", "--days", "2", "--plane")
        id, key = str(made["id"]), str(made["key"])
        assert (await plane.authenticate(key)).scopes == ("model.*",)
        assert id in [one["id"] for one in (await penstock("list", "--plane"))[1]]
        _, (shown,) = await penstock("show", id)
        assert shown["limits"] == [{"cost_nano": 5_000_000_000}]
        _, (rotated,) = await penstock("rotate", id, "--grace-hours", "0")
        assert (await plane.authenticate(str(rotated["key"]))).key == id
        assert (await penstock("expire", id, "--days", "1"))[0] == Exit.OK
        assert (await penstock("revoke", id, "--plane"))[1] == [{"ids": [id]}]
        assert (await penstock("show", "nosuchkey"))[0] == Exit.NOT_FOUND
        assert (await penstock("create", "--scope", "tools:destructive", "--plane"))[0] == Exit.DENIED
        assert (await penstock("create", "--tenant", "umbrella", "--plane"))[0] == Exit.USAGE
