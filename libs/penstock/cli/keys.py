"""penstock keys: API keys of the plane on this machine. A key is shown once; its digest is what is kept."""

import argparse
import time

from penstock.cli.desk import Commands, Desk
from penstock.cli.exits import Exit
from penstock.contracts.errors import Code, Failure


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("keys", help="create, list and revoke API keys", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", parents=[shared], help="make a key and show it, once")
    create.add_argument("name", nargs="?", default="", help="what it is for, for the list")
    create.add_argument("--subject", default="user:me", help="who holds it: user:NAME or workload:NAME")
    create.add_argument("--tenant", default="default", help="whose jobs, documents and money it reaches")
    create.add_argument("--team", default="", help="whose account pays too: team:TEAM")
    create.add_argument("--scope", action="append", metavar="SCOPE", help="such as model.*; * is all (the default)")
    create.add_argument(
        "--tool", action="append", metavar="NAME", help="a tool that it may call; * is all (the default)"
    )
    create.add_argument("--usd", type=float, help="the most that it may spend, in all or per --period")
    create.add_argument("--tokens", type=int, help="the most that it may use, in all or per --period")
    create.add_argument(
        "--period", choices=("total", "day", "month"), default="total", help="what --usd and --tokens are for"
    )
    create.add_argument("--days", type=float, default=0.0, help="until it expires; 0 is never")
    create.set_defaults(run=run_create)
    listing = actions.add_parser("list", parents=[shared], help="keys without their secrets")
    listing.set_defaults(run=run_list)
    revoke = actions.add_parser("revoke", parents=[shared], help="refuse a key from now on")
    revoke.add_argument("id", help="as the list shows it")
    revoke.set_defaults(run=run_revoke)


async def run_create(desk: Desk, arguments: argparse.Namespace) -> Exit:
    from penstock.cli import key_store  # needs what only the plane's extra brings

    kept, key = key_store.create(desk.layout, arguments, time.time())
    desk.screen.data({"id": kept.id, "key": key, "tenant": kept.tenant, "subject": kept.subject})
    desk.screen.say(key)
    desk.screen.note("This is the only time it is shown. It may be used within a second.")
    return Exit.OK


async def run_list(desk: Desk, arguments: argparse.Namespace) -> Exit:
    from penstock.cli import key_store  # needs what only the plane's extra brings

    keys = key_store.shown(desk.layout, time.time())
    for key in keys:
        desk.screen.data(key)
    columns = ("key", "name", "tenant", "subject", "scopes", "tools", "made", "state")
    desk.screen.table(columns, [tuple(key.values()) for key in keys])
    return Exit.OK


async def run_revoke(desk: Desk, arguments: argparse.Namespace) -> Exit:
    from penstock.cli import key_store  # needs what only the plane's extra brings

    if not key_store.revoke(desk.layout, arguments.id, time.time()):
        desk.screen.problem(Failure(Code.NOT_FOUND, f"there is no key {arguments.id}: `penstock keys list` shows them"))
        return Exit.NOT_FOUND
    desk.screen.data({"revoked": arguments.id})
    desk.screen.say(f"{arguments.id} is revoked; services notice within a second, the HTTP edge within a minute.")
    return Exit.OK
