"""Signatures are honoured where they were minted, and left out everywhere else."""

from collections.abc import AsyncIterator

import msgspec
import pytest

from penstock.contracts.llm import ANTHROPIC_MESSAGES, Completion, CompletionRequest
from penstock.contracts.subjects import LLM_COMPLETE
from penstock.kit.config import Secret
from penstock.kit.store import Store
from services.router.minted import Minted, artefacts_of, without
from services.router.protocols.part import Text, Thinking, ToolCall
from services.router.protocols.prompt import Prompt, Turn
from tests.services.router.conftest import Plane
from tests.support.providers.scene import SIGNATURE
from tests.support.providers.server import KEY, Providers, providers
from tests.support.valkey_server import ValkeyServer

TALK = Prompt(
    origin="",
    turns=(
        Turn("user", (Text("a"),)),
        Turn(
            "assistant",
            (Thinking("hm", "sig-1"), Thinking("", "", "sealed-2"), ToolCall("c", "f", "{}", signature="sig-3")),
        ),
        Turn("assistant", (Thinking("", "sig-1"),)),
    ),
)


def test_everything_that_was_minted_is_found_and_what_is_foreign_left_out() -> None:
    assert list(artefacts_of(TALK)) == ["sig-1", "sealed-2", "sig-3", "sig-1"]
    left = without(TALK, frozenset({"sig-1", "sig-3"}))
    assert left.turns == (
        Turn("user", (Text("a"),)),
        Turn("assistant", (Thinking("", "", "sealed-2"), ToolCall("c", "f", "{}"))),
    )
    assert without(TALK, frozenset({"other"})) == TALK


async def test_another_replica_knows_and_another_tenant_does_not(valkey: ValkeyServer) -> None:
    store = Store(valkey.url)
    one, other = Minted(store, timeout_s=2), Minted(store, timeout_s=2)
    await one.note("acme", ["a", "b"], "here")
    assert await other.endpoints("acme", ["b", "x", "a"]) == {"a": "here", "b": "here"}
    assert await other.endpoints("evil", ["a", "b"]) == {}
    await store.close()


async def test_base64_in_its_other_alphabet_is_the_same_signature() -> None:
    minted = Minted(None, timeout_s=1)
    await minted.note("acme", ["a+b/c="], "here")
    assert await minted.endpoints("acme", ["a-b_c"]) == {"a-b_c": "here"}


async def test_without_a_store_a_process_knows_what_it_saw_itself() -> None:
    minted = Minted(None, timeout_s=1)
    await minted.note("acme", ["a"], "here")
    assert await minted.endpoints("acme", ["a", "b"]) == {"a": "here"}


@pytest.fixture
async def accounts(plane: Plane) -> AsyncIterator[Providers]:
    """Two accounts of one provider, each an endpoint of its own, the first of them first."""
    plane.config = msgspec.structs.replace(plane.config, store_url=Secret(plane.valkey.url))
    key = plane.folder / "provider.key"
    key.write_text(KEY)
    async with providers() as server:
        for name in ("mine", "yours"):
            plane.deployments[name] = {
                "provider": "anthropic",
                "base_url": server.url,
                "model": name,
                "key": "file:provider.key",
                "endpoint": name,
                "price": "free",
            }
        plane.aliases["claude"] = ["mine", "yours"]
        yield server


async def ask(plane: Plane, *messages: object) -> Completion:
    body = {"model": "claude", "max_tokens": 100, "messages": messages}
    request = CompletionRequest("claude", msgspec.Raw(msgspec.json.encode(body)), ANTHROPIC_MESSAGES)
    return await plane.bus.call(LLM_COMPLETE, request, plane.meta())


async def test_thoughts_go_back_to_their_endpoint_byte_for_byte_and_to_no_other(
    plane: Plane, accounts: Providers
) -> None:
    asked = {"role": "user", "content": "think"}
    async with plane.router():
        first = await ask(plane, asked)
        said = msgspec.json.decode(first.body, type=dict[str, object])["content"]
        turns = (asked, {"role": "assistant", "content": said}, {"role": "user", "content": "Go on."})
        same = await ask(plane, *turns)
        plane.aliases["claude"] = ["yours", "mine"]
        plane.deployments["mine"]["model"] = "mine-2"
        plane.rewrite()
        while (other := await ask(plane, *turns)).served.deployment != "yours":
            pass
    assert accounts.received[1].seen.signatures == [SIGNATURE]
    assert accounts.received[1].body["messages"][1] == turns[1]  # type: ignore[index]  # as it was sent
    assert same.served.losses == ()
    assert accounts.received[-1].seen.signatures == []
    assert [loss.what for loss in other.served.losses] == [
        "thoughts and signatures that another endpoint minted are left out"
    ]


async def test_what_nobody_knows_goes_to_a_provider_of_its_protocol_alone(plane: Plane, accounts: Providers) -> None:
    thought = {"type": "thinking", "thinking": "hm", "signature": "dW5rbm93bg=="}
    turns = (
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [thought, {"type": "text", "text": "b"}]},
        {"role": "user", "content": "Go on."},
    )
    other = {"provider": "gemini", "base_url": accounts.url, "model": "g", "key": "file:provider.key", "price": "free"}
    async with plane.router():
        await ask(plane, *turns)
        plane.deployments["other"] = dict(other)
        plane.aliases["claude"] = ["other"]
        del plane.deployments["mine"], plane.deployments["yours"]
        plane.rewrite()
        while (crossed := await ask(plane, *turns)).served.deployment != "other":
            pass
    assert accounts.received[0].seen.signatures == ["dW5rbm93bg=="]
    assert accounts.received[-1].seen.signatures == []
    assert "messages" in [loss.field for loss in crossed.served.losses]
