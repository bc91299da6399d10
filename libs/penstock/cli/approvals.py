"""penstock approvals: what waits for people, and their answers."""

import argparse
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Literal, get_args

from penstock.cli.desk import Commands, Desk
from penstock.cli.exits import Exit
from penstock.cli.screen import Cell, Screen
from penstock.contracts.approvals import Approval, ApprovalState

COLUMNS = ("approval", "state", "what", "asked by", "group", "until")


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("approvals", help="see and answer what waits for approval", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    many = actions.add_parser("list", parents=[shared], help="what you asked for or may answer, the newest first")
    many.add_argument("--state", default="pending", choices=["all", *get_args(ApprovalState)], help="pending if none")
    many.add_argument("--limit", type=int, default=50, help="so many at most")
    many.add_argument("--follow", action="store_true", help="go on with what comes, until ^C")
    many.set_defaults(run=run_many)
    one = actions.add_parser("show", parents=[shared], help="one of them, with all that is known of it")
    one.add_argument("id", help="its id")
    one.add_argument("--follow", action="store_true", help="wait until it is answered or has expired")
    one.set_defaults(run=run_one)
    for name, answer in (("approve", "approve"), ("deny", "deny")):
        said = actions.add_parser(name, parents=[shared], help=f"{name} it, as a member of its group")
        said.add_argument("id", help="its id")
        said.add_argument("reason", nargs="?", default="", help="why: whoever asked is told")
        said.set_defaults(run=run_answer, answer=answer)


async def run_many(desk: Desk, arguments: argparse.Namespace) -> Exit:
    state = "" if arguments.state == "all" else arguments.state
    async with desk.plane() as plane:
        if not arguments.follow:
            page = await plane.approvals(state=state, limit=arguments.limit)
            desk.screen.data(page)
            desk.screen.table(COLUMNS, [_row(one) for one in page.approvals])
            return Exit.OK
        async with aclosing(plane.follow_approvals()) as approvals:
            async for approval in approvals:
                if state in ("", approval.state):
                    desk.screen.data(approval)
                    desk.screen.say("  ".join(str(cell) for cell in _row(approval)))
    return Exit.OK


async def run_one(desk: Desk, arguments: argparse.Namespace) -> Exit:
    async with desk.plane() as plane:
        approval = await plane.approval(arguments.id)
        if arguments.follow and approval.state == "pending":
            with desk.screen.working(f"{approval.id}: waits for {' and '.join(approval.groups)}"):
                approval = await plane.answered(arguments.id)
    show(desk.screen, approval)
    return Exit.DENIED if approval.state in ("denied", "expired") else Exit.OK


async def run_answer(desk: Desk, arguments: argparse.Namespace) -> Exit:
    answer: Literal["approve", "deny"] = arguments.answer
    async with desk.plane() as plane:
        approval = await plane.answer(arguments.id, answer, arguments.reason)
    show(desk.screen, approval)
    return Exit.OK


def show(screen: Screen, approval: Approval) -> None:
    """All that is known of it."""
    screen.data(approval)
    agents = f" through {', '.join(approval.chain)}" if approval.chain else ""
    screen.say(f"{approval.state}: {approval.action} {approval.resource}", style="bold")
    screen.say(f"  asked by   {approval.requester}{agents}")
    screen.say(f"  of         {', '.join(approval.groups)}")
    screen.say(f"  until      {_time(approval.until)}")
    if approval.job:
        screen.say(f"  job        {approval.job} {approval.step}".rstrip())
    for reason in approval.reasons:
        screen.say(f"  because    {reason}")
    if approval.summary:
        screen.say(f"  arguments  {approval.summary}")
    for name, fact in sorted(approval.facts.items()):
        screen.say(f"  {name:<10} {', '.join(fact) if isinstance(fact, list) else fact}")
    for one in approval.answers:
        word = "approved" if one.approved else "denied"
        screen.say(f"  {word:<10} by {one.by}, {_time(one.time)}{f': {one.reason}' if one.reason else ''}")
    screen.note(approval.id)


def _row(approval: Approval) -> tuple[Cell, ...]:
    what = f"{approval.action} {approval.resource}"
    groups = ", ".join(approval.groups)
    return approval.id, approval.state, what, approval.requester, groups, _time(approval.until)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
