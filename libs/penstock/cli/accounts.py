"""penstock accounts: what is left to spend, and what was spent on what."""

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

from penstock.cli.desk import Commands, Desk, UsageError
from penstock.cli.exits import Exit
from penstock.cli.watching import dollars
from penstock.contracts.money import StatementLine, StatementPart, StatementRequest, Sum
from penstock.contracts.policy import Balance
from penstock.kit.sheet import sheet

PAGE = 500


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("accounts", help="balances and statements", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", parents=[shared], help="the accounts that your actions are paid from")
    listing.set_defaults(run=run_list)
    show = actions.add_parser("show", parents=[shared], help="one account, such as user:ida or tenant:default")
    show.add_argument("account")
    show.set_defaults(run=run_list)
    statement = actions.add_parser("statement", parents=[shared], help="what an account was used for")
    statement.add_argument("account")
    statement.add_argument("--since", default="", metavar="TIME", help="2026-11-24 or 2026-11-24T12:00, UTC")
    statement.add_argument("--until", default="", metavar="TIME", help="to before this time; now by default")
    statement.add_argument("--csv", action="store_true", help="print the lines alone, as CSV")
    statement.set_defaults(run=run_statement)


async def run_list(desk: Desk, arguments: argparse.Namespace) -> Exit:
    async with desk.plane() as plane:
        listed = await plane.accounts(getattr(arguments, "account", ""))
    for balance in listed.accounts:
        desk.screen.data(balance)
    columns = ("account", "dollars", "tokens", "requests", "under way", "until", "empty at this rate")
    desk.screen.table(columns, [_row(balance) for balance in listed.accounts])
    if not listed.accounts:
        desk.screen.note("no account of yours has a limit: accounts.yaml and `penstock keys create --usd` set them")
    return Exit.OK


async def run_statement(desk: Desk, arguments: argparse.Namespace) -> Exit:
    if arguments.csv and arguments.json:
        raise UsageError("choose --csv or --json")
    since, until = _seconds(arguments.since), _seconds(arguments.until)
    async with desk.plane() as plane:
        page = first = await plane.statement(StatementRequest(arguments.account, since, until, PAGE))
        lines = list(first.lines)
        desk.screen.data(first)
        while page.next:
            page = await plane.statement(StatementRequest(arguments.account, since, first.until, PAGE, page.next))
            desk.screen.data(page)
            lines += page.lines
    if arguments.csv:
        sys.stdout.write(sheet(StatementLine, lines))
        return Exit.OK
    rows = [(name, *_sums(sum)) for name, sum in _sums_of(first.opening, first.committed, first.reserved)]
    desk.screen.table(("", "dollars", "tokens", "actions"), rows, title=arguments.account)
    for title, parts in (("by model or tool", first.by_resource), ("by day", first.by_day)):
        desk.screen.table((title, "dollars", "tokens", "actions"), _parts(parts))
    columns = ("time", "who", "agent", "what", "state", "dollars", "tokens", "job")
    desk.screen.table(columns, [_line(line) for line in lines])
    return Exit.OK


def _row(balance: Balance) -> tuple[str, ...]:
    spent = balance.committed_nano + balance.reserved_nano
    money = f"{dollars(spent)} of {dollars(balance.limit_nano)}" if balance.limit_nano else dollars(spent)
    return (
        balance.account,
        money,
        _of(balance.tokens, balance.limit_tokens),
        _of(balance.requests, balance.limit_requests),
        _of(balance.under_way, balance.limit_concurrency),
        _time(balance.ends),
        _time(balance.empty_at),
    )


def _of(used: int, limit: int) -> str:
    return f"{used} of {limit}" if limit else str(used)


def _sums_of(opening: Sum, committed: Sum, reserved: Sum) -> tuple[tuple[str, Sum], ...]:
    return ("before", opening), ("used", committed), ("reserved", reserved)


def _sums(sum: Sum) -> tuple[str, str, str]:
    return dollars(sum.nano), str(sum.tokens), str(sum.requests)


def _parts(parts: Sequence[StatementPart]) -> list[tuple[str, ...]]:
    return [(part.name, *_sums(part.sum)) for part in parts]


def _line(line: StatementLine) -> tuple[str, ...]:
    state = f"{line.state} ({line.status})" if line.status not in ("", "ok") else line.state
    what = f"{line.action} {line.resource}"
    return (_time(line.time), line.subject, line.agent, what, state, dollars(line.nano), str(line.tokens), line.job)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") if at else ""


def _seconds(text: str) -> float:
    """Unix seconds of a time in UTC; 0 for none. Raises UsageError."""
    if not text:
        return 0.0
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise UsageError(f"{text!r} is not a time. Write 2026-11-24 or 2026-11-24T12:00, in UTC") from None
