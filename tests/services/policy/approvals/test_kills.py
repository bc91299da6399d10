"""A policy service that is killed while it holds, and while it lets through: nothing doubled, nothing lost."""

import asyncio

import pytest

from penstock.contracts.audit import DecisionRecord
from penstock.contracts.errors import Failure
from penstock.contracts.policy import Decision
from tests.services.policy.approvals.test_approvals import PAYMENTS, Desk, desk_of, pay
from tests.services.policy.conftest import Plane
from tests.support.process import ModuleProcess, module_process

ASKED = [f"{n:064d}" for n in range(12)]


def environment(plane: Plane) -> dict[str, str]:
    config = plane.config
    return {
        "PENSTOCK_NATS_URL": config.nats_url,
        "PENSTOCK_STORE_URL": config.store_url.reveal(),
        "PENSTOCK_DATA_DIR": str(plane.folder),
        "PENSTOCK_BUNDLE_DIR": str(plane.bundle(PAYMENTS)),
        "PENSTOCK_RELOAD_EVERY_S": "0.05",
    }


async def until_killed(desk: Desk, process: ModuleProcess, attempt: str) -> list[Decision | BaseException]:
    """Asks for everything at once; the service dies as soon as it has answered the first."""
    asks = [asyncio.create_task(desk.ask(digest=one, attempt=f"{attempt}_{one[-2:]}")) for one in ASKED]
    await asyncio.wait(asks, return_when=asyncio.FIRST_COMPLETED)
    await process.kill()
    process.start()
    return list(await asyncio.gather(*asks, return_exceptions=True))


def permitted(records: list[DecisionRecord], approval: str) -> set[str]:
    return {one.attempt for one in records if one.approval == approval and one.effect == "allow"}


@pytest.mark.timeout(90)
async def test_a_policy_that_is_killed_asks_nobody_twice_and_lets_nothing_through_twice(plane: Plane) -> None:
    async with module_process("services.policy", environment=environment(plane)) as process:
        await process.says('"event": ?"ready"')
        desk = await desk_of(plane)
        held = await until_killed(desk, process, "att_a")
        await process.says('"event": ?"ready"')
        ids = {one: (await desk.ask(digest=one)).context.approval for one in ASKED}
        before = {one.context.approval for one in held if isinstance(one, Decision)}
        assert before and before <= set(ids.values())
        waiting = (await desk.page(state="pending", limit=100)).approvals
        assert sorted(one.id for one in waiting) == sorted(ids.values())

        for id in ids.values():
            await desk.answer(id)
        let = await until_killed(desk, process, "att_b")
        await process.says('"event": ?"ready"')
        assert any(isinstance(one, Decision) and one.decision for one in let)
        # the answers that were lost are had again, by the attempts that they were for
        again = [await plane.evaluate(pay(one, f"att_b_{one[-2:]}"), desk.alice) for one in ASKED]
        assert all(one.decision for one in again)
        others = [await desk.ask(digest=one) for one in ASKED]
        assert not any(one.decision for one in others)
        records = await plane.decisions()
        assert [permitted(records, ids[one]) for one in ASKED] == [{f"att_b_{one[-2:]}"} for one in ASKED]
        assert {type(one) for one in (*held, *let) if not isinstance(one, Decision)} <= {Failure}
