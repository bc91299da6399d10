"""(e) The orchestrator is killed in the middle of a run, and the run finishes without repeating a step."""

import asyncio
import os
import signal
from collections import Counter

from penstock.bus import Bus, BusConfig
from penstock.client import job
from penstock.contracts.ids import partition, run_id
from penstock.contracts.jobs import JobEvent
from penstock.contracts.runs import Claimed, StepDone
from penstock.contracts.services import ORCHESTRATOR
from penstock.contracts.subjects import RUN_JOURNAL
from penstock.demo.agent import follow_events
from penstock.demo.files import DOORS, NIGHT_ROUND
from penstock.demo.stage import Stage
from penstock.local.environment import seed_file

KILL_AFTER = 3
WAIT_S = 60.0


async def scene(stage: Stage) -> None:
    claims, shop = stage.claims, stage.shop
    claims.scene("e", "kill -9 in the middle of a run")
    claims.tell(
        f"Asked: {NIGHT_ROUND} Each door is one call to the shop. At door {KILL_AFTER} the orchestrator is killed."
    )
    submitted = await stage.plane.submit(job("agent", NIGHT_ROUND, agent="watchman"))
    following = asyncio.create_task(follow_events(stage, submitted.id))
    try:
        await asyncio.to_thread(shop.wait_for, "/door", KILL_AFTER, WAIT_S)
        victim = stage.state.pids[ORCHESTRATOR]
        os.kill(victim, signal.SIGKILL)
        claims.tell(f"    kill -9 {victim}, at door {len(shop.seen('/door'))}")
        async with asyncio.timeout(WAIT_S * 2):
            events = await following
    finally:
        following.cancel()
    view = await stage.plane.get(submitted.id)
    successor = stage.state.pids.get(ORCHESTRATOR, 0)
    claims.check("another process carried the run on", successor not in (0, victim), f"{victim}, then {successor}")
    claims.check("the run completed", view.state == "completed", f"{view.steps} steps")
    doors = Counter(visit.argument for visit in shop.seen("/door"))
    once = doors == Counter(str(door) for door in range(1, DOORS + 1))
    claims.check("the shop saw every door exactly once", once, ", ".join(f"{d}: {n}" for d, n in sorted(doors.items())))
    steps = Counter(event.step for event in events if event.type == "step")
    claims.check(
        "the events tell every step once, in order",
        set(steps.values()) == {1} and _in_order(events),
        f"{len(steps)} steps",
    )
    await _journal(stage, submitted.id)


def _in_order(events: list[JobEvent]) -> bool:
    return [event.n for event in events] == list(range(len(events)))


async def _journal(stage: Stage, id: str) -> None:
    """The run's journal as the broker has it, read with the orchestrator's own key: this is our plane."""
    seed = seed_file(stage.layout, ORCHESTRATOR)
    bus = await Bus.connect(BusConfig(url=stage.state.url, principal=ORCHESTRATOR, seed_file=str(seed)))
    try:
        run = run_id(stage.plane.tenant, id)
        events = await bus.journal(RUN_JOURNAL, partition=partition(run), run=run).load()
    finally:
        await bus.close()
    claims = [event for _, event in events if isinstance(event, Claimed)]
    done = Counter(event.step for _, event in events if isinstance(event, StepDone))
    stage.claims.check(
        "the journal shows two workers and no step done twice",
        len({claim.worker for claim in claims}) == 2 and set(done.values()) == {1},
        f"{len(claims)} claims, {len(done)} steps",
    )
