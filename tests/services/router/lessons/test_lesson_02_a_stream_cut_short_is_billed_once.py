"""A stream whose reader left is one entry in the books: what was seen, said to be an estimate, where it was cancelled;
what the provider counted where it was drained; never none."""

import pytest

from penstock.contracts.llm import Usage
from tests.services.router.conftest import Plane
from tests.services.router.departing import left, reading
from tests.support.eventually import eventually
from tests.support.gated import Gated

SEEN = Usage(uncached=6, output=3, estimated=True)
COUNTED = Usage(uncached=100, output=50)


@pytest.mark.parametrize(
    ("rule", "resumable", "usage"),
    [
        ("cancel", False, SEEN),
        ("drain", False, COUNTED),
        ("spool", False, COUNTED),
        ("cancel", True, COUNTED),
        ("drain", True, COUNTED),
        ("spool", True, COUNTED),
    ],
)
async def test_one_entry_whatever_the_rule(plane: Plane, rule: str, resumable: bool, usage: Usage) -> None:
    await plane.log_in(usd=1)
    plane.deployments.clear()
    plane.deploy("chat", "one", on_disconnect=rule)
    gated = Gated(first=3)
    plane.server.script(gated.reply)
    async with plane.router() as router, reading(plane, resumable=resumable) as reader:
        await reader.has(b"a2")
        await reader.leave()
        how = "cancel" if usage.estimated else "spool" if resumable else "drain"

        async def gone() -> None:
            assert left(router, how) == 1

        await eventually(gone)
        gated.go.set()
        (outcome,) = await plane.outcomes(1)
        cost_nano = usage.input * 2_000 + usage.output * 10_000

        async def settled() -> None:
            balance = await plane.balance()
            assert (balance.committed_nano, balance.reserved_nano) == (cost_nano, 0)

        await eventually(settled)
    assert (outcome.status, outcome.usage, outcome.cost_nano) == ("cancelled", usage, cost_nano)
    assert len(await plane.ended()) == 1


async def test_who_reads_to_the_end_is_charged_once_too(plane: Plane) -> None:
    gated = Gated()
    gated.go.set()
    plane.server.script(gated.reply)
    async with plane.router(), reading(plane) as reader:
        await reader.has(b"[DONE]")
        (outcome,) = await plane.outcomes(1)
    assert (outcome.status, outcome.usage) == ("ok", COUNTED)
