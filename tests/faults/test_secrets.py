"""Keys planted in a running plane are found in no file of it afterwards, but in the key file itself."""

import stat
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest
import pytest_asyncio

from penstock.bus.permissions import SETUP
from penstock.client import job
from penstock.contracts.stores import STORES
from tests.faults.proof import completed, ended
from tests.faults.world import SHOP_KEY, UPSTREAM_KEY, World, world
from tests.support.launched import LaunchedPlane
from tests.support.model_server import plain, status

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

CHAT = {"model": "chat", "messages": [{"role": "user", "content": "<s9> say the words"}]}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def talkative(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A plane that logs all that it ever would."""
    async with world(tmp_path_factory.mktemp("secrets"), "--log-level", "debug") as it:
        yield it


async def busy(world: World, key: str) -> None:
    """Jobs and requests that succeed, that fail, whose upstream and site echo their keys, and parts that are killed."""
    async with world.plane.client(key) as client:
        await client.submit(world.agent("s1", session="talk"))
        await completed(world, client, "s1")
        await client.publish(world.chat("s2", idempotency_key="k2"))
        await completed(world, client, "s2")
        world.shop.echo = True
        view, _ = await ended(client, (await client.submit(job("tool", {"item": "s3"}, tool="charge"))).id)
        assert b"[hidden]" in bytes(view.output), "the site was to echo the key"
        world.shop.echo = False
        world.provider.script(status(401, f"Incorrect API key provided: {UPSTREAM_KEY}"), model="model-1")
        world.provider.script(status(500, f"key={UPSTREAM_KEY} is overloaded"), model="model-2")
        view, _ = await ended(client, (await client.submit(world.chat("s4"))).id)
        assert view.state == "failed"
        world.provider.script(plain(f"your key is {UPSTREAM_KEY}"), model="model-1")
        async with httpx.AsyncClient(base_url=world.plane.state.http_url, timeout=60) as edge:
            for headers in ({"authorization": f"Bearer {key}"}, {"x-api-key": key}, {"authorization": key}):
                await edge.post("/v1/chat/completions", json=CHAT, headers=headers)
            await edge.get("/v1/models", params={"key": key})
            await edge.get(f"/v1/jobs/{key}", headers={"x-goog-api-key": key, "x-request-id": key})
            await edge.post("/v1/jobs", content=b"{", headers={"authorization": f"Bearer {key}"})
        world.provider.unscript("model-1")
        world.provider.unscript("model-2")
        killed = world.plane.kill("router")  # which thinks ill of both models now
        await world.plane.back("router", killed)
        hold = world.hold("s5", "streaming")
        await client.submit(world.chat("s5"))
        await hold.reached.wait()
        for part in ("policy", "tool_executor", "router"):
            killed = world.plane.kill(part)
            await world.plane.back(part, killed)
        hold.go.set()
        await completed(world, client, "s5")


async def in_streams(plane: LaunchedPlane) -> bytes:
    """Every message that is kept, with its headers: one of the streams is compressed on the disk."""
    found: list[bytes] = []
    async with plane.bus(SETUP) as bus:
        for store in STORES:
            for record in await bus.jetstream.read(store.name, ">", limit=100_000):
                found.append(record.data + msgspec.json.encode(record.headers))
    return b"\n".join(found)


async def test_no_planted_key_is_in_any_file_or_stream_of_the_plane(talkative: World) -> None:
    plane = talkative.plane
    own, made = plane.profile.key(), await plane.known_key()
    await busy(talkative, own)
    await busy_again(talkative, made)
    planted = {
        "the upstream's key": UPSTREAM_KEY,
        "the tool's credential": SHOP_KEY,
        "the plane's own API key": own.split("_")[2],
        "another API key": made.split("_")[2],
        "the store's password": (plane.layout.keys / "store-password").read_text(),
        "what vouches for clients": (plane.layout.keys / "callout" / "issuer.seed").read_text(),
        "what opens the broker's questions": (plane.layout.keys / "callout" / "curve.seed").read_text(),
    }
    kept = await in_streams(plane)
    assert b"say the words" in kept, "what was asked is kept"
    found = [(name, "a stream") for name, secret in planted.items() if secret.encode() in kept]
    found += [(name, "the launcher's output") for name, text in planted.items() if text in plane.process.output]
    files = [path for path in plane.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {"policy.log", "gateway.log", "router.log", "store.conf"} <= {path.name for path in files}
    for path in files:
        content = path.read_bytes()
        for name, secret in planted.items():
            if secret.encode() in content:
                found.append((name, str(path.relative_to(plane.folder))))
    assert sorted(found) == [
        ("the plane's own API key", "keys/cli-api-key"),
        ("the store's password", "keys/store-password"),
        ("the store's password", "keys/store-url"),
        ("the store's password", "store/store.conf"),
        ("what opens the broker's questions", "keys/callout/curve.seed"),
        ("what vouches for clients", "keys/callout/issuer.seed"),
    ]


async def busy_again(world: World, key: str) -> None:
    """With another key, which is in no file at all."""
    async with world.plane.client(key) as client:
        await client.submit(world.agent("s6"))
        await completed(world, client, "s6")


async def test_nobody_else_may_read_the_data_folder_or_any_key_in_it(talkative: World) -> None:
    folder = talkative.plane.folder
    others = stat.S_IRWXG | stat.S_IRWXO
    assert not folder.stat().st_mode & others
    for path in (folder / "keys").rglob("*"):
        assert not path.stat().st_mode & others, path.name
    for name in ("config/keys.json", "store/store.conf", "broker/broker.conf", "profile.json"):
        assert not (folder / name).stat().st_mode & others, name
