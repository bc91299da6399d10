"""penstock audit: what was decided and done for one job, and whether the log is whole."""

import argparse
from pathlib import Path

import msgspec

from penstock.cli.desk import Commands, Desk, UsageError
from penstock.cli.exits import Exit
from penstock.cli.watching import dollars
from penstock.contracts.audit import DECISION, DecisionRecord, Entry, OutcomeRecord, Trail
from penstock.contracts.policy import Reason

HASH_SHOWN = 12


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("audit", help="read and verify the evidence", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    trail = actions.add_parser("trail", parents=[shared], help="every decision and outcome of one job or request")
    trail.add_argument("job", nargs="?", default="", help="its id")
    trail.add_argument("--request", default="", help="a request id of the HTTP edge, instead of a job")
    trail.set_defaults(run=run_trail)
    check = actions.add_parser("verify", parents=[shared], help="is the log whole? asks the service, or reads a folder")
    check.add_argument("--folder", type=Path, help="a copy of the log: checked here, no service is asked")
    check.add_argument("--key", default="", help="the log's public key, or its file (default: key.pub beside the log)")
    check.set_defaults(run=run_verify)


async def run_trail(desk: Desk, arguments: argparse.Namespace) -> Exit:
    if bool(arguments.job) == bool(arguments.request):
        raise UsageError("name a job, or a request with --request")
    async with desk.plane() as plane:
        trail = await plane.trail(job=arguments.job, request=arguments.request)
    for entry in trail.entries:
        desk.screen.data(entry)
    desk.screen.table(("#", "time", "service", "record", "what", "result", "why", "hash"), trail_rows(trail))
    if trail.truncated:
        desk.screen.note("there is more than one answer may hold")
    for orphan in trail.orphans:
        desk.screen.wrong(f"decision {orphan} has no outcome though it is overdue")
    return Exit.OK if trail.entries else Exit.NOT_FOUND


async def run_verify(desk: Desk, arguments: argparse.Namespace) -> Exit:
    if arguments.folder is None:
        async with desk.plane() as plane:
            with desk.screen.working("the audit service checks its log"):
                verified = await plane.verify()
    else:
        from penstock.cli.offline import verify_folder  # needs what only the plane's extra brings

        verified = verify_folder(arguments.folder, arguments.key)
    desk.screen.data(verified)
    for problem in verified.problems:
        desk.screen.wrong(problem)
    for orphan in verified.orphans:
        desk.screen.wrong(f"decision {orphan} has no outcome though it is overdue")
    if verified.problems:
        desk.screen.say(f"NOT whole: {verified.records} records, {len(verified.problems)} problems", style="bold red")
        return Exit.UNVERIFIED
    desk.screen.say(f"whole: {verified.records} records, root {verified.root}", style="green")
    desk.screen.note(f"signed by {verified.signed_by}")
    return Exit.OK


def trail_rows(trail: Trail) -> list[tuple[str, ...]]:
    """A row for each record: for people."""
    return [_row(entry) for entry in trail.entries]


def _row(entry: Entry) -> tuple[str, ...]:
    record = entry.record
    place, hash = str(entry.index), entry.hash[:HASH_SHOWN]
    if record.type == DECISION:
        decided = msgspec.json.decode(record.data, type=DecisionRecord)
        why = "; ".join(_reason(reason) for reason in decided.reasons)
        effect = f"{decided.effect} ({decided.code})" if decided.code else decided.effect
        what = f"{decided.action} {decided.resource}"
        return place, record.time[11:23], record.source, "decision", what, effect, why, hash
    done = msgspec.json.decode(record.data, type=OutcomeRecord)
    used = f"{done.usage.total} tokens, {dollars(max(0, done.cost_nano))}" if done.usage.total else ""
    status = f"{done.status} ({done.code})" if done.code else done.status
    what = f"{done.action} {done.resource}".strip()
    return place, record.time[11:23], record.source, "outcome", what, status, used, hash


def _reason(reason: Reason) -> str:
    return reason.policy if reason.text in ("", reason.policy) else f"{reason.policy}: {reason.text}"
