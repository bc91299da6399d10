"""Policies that look at what a tool is called with, under the real policy service."""

import json

import msgspec
import pytest

from penstock.contracts.bundles import Publication
from penstock.contracts.errors import Code, Failure
from penstock.contracts.policy import INPUT_MAX_BYTES
from services.policy.publishing.store import BundleStore
from services.policy.rulebook import STARTER
from services.policy.rules.sources import read_sources, version_of
from tests.services.tool_executor.conftest import Json, Plane
from tests.support.eventually import eventually

PARAMETERS: Json = {
    "type": "object",
    "properties": {"amount": {"type": "integer", "default": 501}, "note": {"type": "string"}},
}
RULE = (
    '@id("small") @reason("a refund is at most 500")\n'
    'forbid (principal, action == Action::"tool.call", resource == Tool::"refund")\n'
    "when { context.input.amount > 500 };\n"
)


async def published(plane: Plane) -> None:
    """The starter bundle with the rule, as if it had been published; in force when this returns."""
    files = {**read_sources(STARTER), "more.cedar": RULE, "tools.json": json.dumps({"refund": PARAMETERS})}
    store, version = BundleStore(plane.bus), version_of(files)
    await store.keep(version, files)
    await store.turn(None, Publication(1, version, 0.0, "operator", "user:olga"))

    async def in_force() -> None:
        await plane.call("other")
        assert (await plane.decisions())[-1].bundle == version

    await eventually(in_force)


async def test_a_call_is_decided_by_its_arguments_with_their_defaults(plane: Plane) -> None:
    plane.tool("refund", parameters=PARAMETERS)
    plane.tool("other")
    async with plane.executor():
        await published(plane)
        visits = plane.site.visits
        assert not (await plane.call("refund", {"amount": 500})).is_error
        refused: list[Json] = [{"amount": 501}, {}, {"note": "x" * INPUT_MAX_BYTES, "amount": 1}]
        for arguments in refused:
            with pytest.raises(Failure) as caught:
                await plane.call("refund", arguments)
            assert caught.value.code is Code.DENIED
        assert await plane.listed() == ["other", "refund"]

    assert plane.site.visits == visits + 1
    decided = [one for one in await plane.decisions() if one.resource == 'Tool::"refund"']
    assert [reason.policy for one in decided[1:4] for reason in one.reasons] == ["small", "small", "schema"]
    assert decided[0].withheld == ("input",)
    assert b"amount" not in msgspec.json.encode(decided)
