"""What one endpoint signed or sealed goes back to it byte for byte, and to no other, whichever replica is asked."""

import json
from collections.abc import AsyncIterator

import msgspec
import pytest

from penstock.contracts.llm import Completion
from penstock.kit.config import Secret
from tests.services.router.conftest import Plane
from tests.services.router.lessons.callers import PROVIDER, ask
from tests.support.model_server import Json, status
from tests.support.providers.scene import SIGNATURE
from tests.support.providers.server import KEY, Providers, providers

LEFT_OUT = "thoughts and signatures that another endpoint minted are left out"
ASKED: dict[str, list[Json]] = {
    "anthropic.messages": [{"role": "user", "content": "think"}],
    "gemini.generate": [{"role": "user", "parts": [{"text": "think"}]}],
    "openai.responses": [{"role": "user", "content": "think"}],
}
BOUND = pytest.mark.parametrize("surface", ASKED)


@pytest.fixture
async def accounts(plane: Plane, surface: str) -> AsyncIterator[Providers]:
    """Two accounts at one provider that speaks the caller's protocol; `thinker` asks the first of them first."""
    plane.config = msgspec.structs.replace(plane.config, store_url=Secret(plane.valkey.url))
    (plane.folder / "provider.key").write_text(KEY)
    async with providers() as server:
        for name in ("mine", "yours"):
            plane.deployments[name] = {
                "provider": PROVIDER[surface],
                "base_url": server.url + ("/v1" if surface.startswith("openai") else ""),
                "protocols": [surface],
                "model": name,
                "key": "file:provider.key",
                "account": name,
                "price": "free",
            }
        plane.aliases |= {"thinker": ["mine", "yours"], "other": ["yours", "mine"]}
        yield server


def body(surface: str, turns: list[Json]) -> Json:
    match surface:
        case "anthropic.messages":
            return {"model": "thinker", "max_tokens": 100, "messages": turns}
        case "gemini.generate":
            return {"contents": turns}
    return {"model": "thinker", "input": turns, "store": False, "include": ["reasoning.encrypted_content"]}


def continued(surface: str, completion: Completion) -> list[Json]:
    """The conversation with the answer in it, as clients send it back."""
    said = json.loads(bytes(completion.body))
    match surface:
        case "anthropic.messages":
            turns: list[Json] = [{"role": "assistant", "content": said["content"]}]
            return [*ASKED[surface], *turns, {"role": "user", "content": "Go on."}]
        case "gemini.generate":
            return [*ASKED[surface], said["candidates"][0]["content"], {"role": "user", "parts": [{"text": "Go on."}]}]
    return [*ASKED[surface], *said["output"], {"role": "user", "content": "Go on."}]


@BOUND
async def test_its_endpoint_gets_it_back_and_another_never_on_any_replica(
    plane: Plane, accounts: Providers, surface: str
) -> None:
    async with plane.router(cache_timeout_s=5.0):
        first = await ask(plane, "thinker", surface, body(surface, ASKED[surface]))
        assert first.served.deployment == "mine"
    turns = continued(surface, first)
    assert SIGNATURE in json.dumps(turns)
    async with plane.router(cache_timeout_s=5.0):  # another one: this knows by the store alone
        same = await ask(plane, "thinker", surface, body(surface, turns))
        assert (same.served.deployment, same.served.losses) == ("mine", ())
        assert accounts.received[-1].seen.signatures == [SIGNATURE]
        other = await ask(plane, "other", surface, body(surface, turns))
        assert other.served.deployment == "yours"
        assert [loss.what for loss in other.served.losses] == [LEFT_OUT]
        assert accounts.received[-1].seen.signatures == []
        assert SIGNATURE not in json.dumps(accounts.received[-1].body)
        assert accounts.received[-1].seen.words == "Go on."


@BOUND
async def test_a_stand_in_for_a_failing_endpoint_gets_none_of_it(
    plane: Plane, accounts: Providers, surface: str
) -> None:
    async with plane.router(cache_timeout_s=5.0):
        first = await ask(plane, "thinker", surface, body(surface, ASKED[surface]))
    plane.deployments["mine"]["base_url"] = plane.server.url  # the same account, and it answers 500
    plane.deployments["mine"]["endpoint"] = f"{PROVIDER[surface]}:{accounts.url.removeprefix('http://')}/mine"
    plane.server.script(status(500))
    async with plane.router(rounds_max=1, cache_timeout_s=5.0):
        again = await ask(plane, "thinker", surface, body(surface, continued(surface, first)))
    assert SIGNATURE in plane.server.received[-1].body.decode()
    assert (again.served.deployment, again.served.attempts) == ("yours", 2)
    assert [loss.what for loss in again.served.losses] == [LEFT_OUT]
    assert SIGNATURE not in json.dumps(accounts.received[-1].body)


@pytest.mark.parametrize("surface", ["anthropic.messages"])
async def test_a_block_that_is_a_signature_and_nothing_else_survives(
    plane: Plane, accounts: Providers, surface: str
) -> None:
    empty = {"type": "thinking", "thinking": "", "signature": SIGNATURE}
    sealed = {"type": "redacted_thinking", "data": "c2VhbGVk"}
    turns: list[Json] = [
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": [empty, sealed, {"type": "text", "text": "Hi."}]},
        {"role": "user", "content": "Go on."},
    ]
    async with plane.router(cache_timeout_s=5.0):
        await ask(plane, "thinker", surface, body(surface, turns))
    assert accounts.received[-1].body["messages"] == turns
