"""(f) One job's audit trail; the log verified; and a copy of it with one byte changed, which does not verify."""

import asyncio
import shutil
import sys
from pathlib import Path

import msgspec

from penstock.cli.audit import trail_rows
from penstock.cli.exits import Exit
from penstock.contracts.audit import DECISION, DecisionRecord, OutcomeRecord, Trail, Verified
from penstock.demo.stage import Stage

COMMAND_S = 60.0


async def scene(stage: Stage, job: str) -> None:
    claims = stage.claims
    claims.scene("f", "The evidence")
    trail = await _settled(stage, job)
    claims.tell(f"Everything that was decided and done for {job}:")
    claims.screen.table(("#", "time", "service", "record", "what", "result", "why", "hash"), trail_rows(trail))
    decisions, outcomes = _split(trail)
    allowed = {decision.decision for decision in decisions if decision.effect == "allow" and decision.outcome_due}
    settled = {outcome.decision for outcome in outcomes}
    claims.check(
        "every allowed action has its outcome, and every outcome its decision",
        bool(outcomes) and allowed <= settled and settled <= {decision.decision for decision in decisions},
        f"{len(decisions)} decisions, {len(outcomes)} outcomes",
    )
    actions = {decision.action for decision in decisions}
    expected = {"job.submit", "model.complete", "tool.call", "context.search"}
    claims.check("model, tools and search are all there", expected <= actions, ", ".join(sorted(actions)))
    whole = await stage.plane.verify()
    claims.check("the log verifies", not whole.problems, f"{whole.records} records, root {whole.root[:16]}…")
    await _copies(stage, whole)


async def _copies(stage: Stage, whole: Verified) -> None:
    """Checked by the command, in a process of its own, from a copy of the files and the public key alone."""
    claims, audit = stage.claims, stage.layout.audit
    copy = stage.layout.folder("copy") / "log"
    shutil.copytree(audit / "log", copy)
    shutil.copy(audit / "key.pub", copy.parent / "key.pub")
    status, found = await _verify(copy)
    claims.check(
        "a copy of it verifies offline", status == Exit.OK and found.records >= whole.records, f"exit status {status}"
    )
    changed = _change_a_byte(copy)
    claims.tell(f"One byte is changed in the copy: {changed}")
    status, found = await _verify(copy)
    for problem in found.problems[:2]:
        claims.tell(f"    {problem}")
    claims.check(
        "the copy with one byte changed does not verify",
        status == Exit.UNVERIFIED and bool(found.problems),
        f"exit status {status}",
    )
    again = await stage.plane.verify()
    claims.check("the log itself still does", not again.problems, f"{again.records} records")


async def _settled(stage: Stage, job: str) -> Trail:
    """Records reach the log a moment after the action: waits until none of them is missing any more."""
    clock = asyncio.get_running_loop().time
    ends = clock() + 15.0
    while True:
        trail = await stage.plane.trail(job=job)
        decisions, outcomes = _split(trail)
        due = {decision.decision for decision in decisions if decision.effect == "allow" and decision.outcome_due}
        if (due and due <= {outcome.decision for outcome in outcomes}) or clock() > ends:
            return trail
        await asyncio.sleep(0.2)


def _split(trail: Trail) -> tuple[list[DecisionRecord], list[OutcomeRecord]]:
    decisions, outcomes = [], []
    for entry in trail.entries:
        if entry.record.type == DECISION:
            decisions.append(msgspec.json.decode(entry.record.data, type=DecisionRecord))
        else:
            outcomes.append(msgspec.json.decode(entry.record.data, type=OutcomeRecord))
    return decisions, outcomes


async def _verify(folder: Path) -> tuple[int, Verified]:
    argv = (sys.executable, "-m", "penstock.cli", "audit", "verify", "--json", "--folder", str(folder))
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(COMMAND_S):
        output, _ = await process.communicate()
    return process.returncode or 0, msgspec.json.decode(output, type=Verified)


def _change_a_byte(log: Path) -> str:
    """In the middle of the largest file of records."""
    path = max((log / "tile" / "entries").rglob("*"), key=lambda each: each.stat().st_size if each.is_file() else -1)
    content = bytearray(path.read_bytes())
    place = len(content) // 2
    content[place] ^= 1
    path.write_bytes(content)
    return f"byte {place} of {path.relative_to(log)}, of {len(content)}"
