"""penstock runs: who acted for whom, and the end of a run with all below it."""

import argparse
from datetime import UTC, datetime

from penstock.cli.desk import Commands, Desk
from penstock.cli.exits import Exit
from penstock.cli.screen import Cell
from penstock.cli.watching import dollars
from penstock.contracts.delegation import ChainLink

COLUMNS = ("run", "agent", "for", "may", "tools", "left of", "until", "state")


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("runs", help="chains of delegation, and their end", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    chain = actions.add_parser("chain", parents=[shared], help="from the origin to a run; or all of a transaction")
    chain.add_argument("id", help="a run, a job or a transaction")
    chain.set_defaults(run=run_chain)
    revoke = actions.add_parser("revoke", parents=[shared], help="the run and all below it may do nothing more")
    revoke.add_argument("id", help="the run, or its job")
    revoke.add_argument("reason", nargs="?", default="", help="why: it stands beside the revocation")
    revoke.set_defaults(run=run_revoke)


async def run_chain(desk: Desk, arguments: argparse.Namespace) -> Exit:
    links: list[ChainLink] = []
    async with desk.plane() as plane:
        after = 0
        while True:
            page = await plane.chain(arguments.id, after=after)
            links += page.links
            desk.screen.data(page)
            after = page.next
            if not after:
                break
    desk.screen.table(COLUMNS, [_row(one) for one in links])
    return Exit.OK


async def run_revoke(desk: Desk, arguments: argparse.Namespace) -> Exit:
    async with desk.plane() as plane:
        revoked = await plane.revoke_run(arguments.id, arguments.reason)
    desk.screen.data(revoked)
    desk.screen.say(f"revoked: {revoked.run} and every run below it")
    return Exit.OK


def _row(one: ChainLink) -> tuple[Cell, ...]:
    link = one.link
    left = []
    if link.nano:
        left.append(f"{dollars(one.left_nano)} of {dollars(link.nano)}")
    if link.tokens:
        left.append(f"{one.left_tokens} of {link.tokens} tokens")
    ends = datetime.fromtimestamp(link.expires, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return (
        link.run,
        link.actor,
        " > ".join((link.origin, *link.chain[:-1])),
        " ".join(link.scopes) or "nothing",
        " ".join(link.tools) or "none",
        ", ".join(left),
        ends,
        "revoked" if one.revoked else "",
    )
