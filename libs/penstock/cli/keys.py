"""penstock keys: API keys. A key is shown once; its digest is what is kept. Without --plane they are those of the
operator's file on this machine; with it, and for show, rotate and expire, the plane is asked in your key's name."""

import argparse
import time

from penstock.cli import plane_keys
from penstock.cli.desk import Commands, Desk
from penstock.cli.exits import Exit
from penstock.contracts.errors import Code, Failure


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser(
        "keys", help="create, list, show, rotate, expire and revoke API keys", description=__doc__
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    create = actions.add_parser("create", parents=[shared], help="make a key and show it, once")
    create.add_argument("name", nargs="?", default="", help="what it is for, for the list")
    create.add_argument("--subject", default="", help="who holds it: user:NAME or workload:NAME (default: user:me)")
    create.add_argument("--tenant", default="", help="whose jobs, documents and money it reaches")
    create.add_argument("--agent", default="", help="agent:NAME, when an agent uses it for the subject")
    create.add_argument("--team", default="", help="whose account pays too: team:TEAM")
    create.add_argument("--scope", action="append", metavar="SCOPE", help="such as model.*; * is all (the default)")
    create.add_argument(
        "--tool", action="append", metavar="NAME", help="a tool that it may call; * is all (the default)"
    )
    create.add_argument("--usd", type=float, help="the most that it may spend, in all or per --period")
    create.add_argument("--tokens", type=int, help="the most that it may use, in all or per --period")
    create.add_argument(
        "--period",
        choices=("total", "minute", "hour", "day", "week", "month"),
        default="total",
        help="what --usd and --tokens are for",
    )
    create.add_argument("--days", type=float, default=0.0, help="until it expires; 0 is never")
    _by_plane(create)
    create.set_defaults(run=run_create)
    listing = actions.add_parser("list", parents=[shared], help="keys without their secrets")
    _by_plane(listing)
    listing.set_defaults(run=run_list)
    revoke = actions.add_parser("revoke", parents=[shared], help="refuse a key from now on")
    revoke.add_argument("id", help="as the list shows it")
    revoke.add_argument("--below", action="store_true", help="the keys that were made with it too (with --plane)")
    revoke.add_argument("--reason", default="", help="for the records (with --plane)")
    _by_plane(revoke)
    revoke.set_defaults(run=run_revoke)
    _add_renewing(actions, shared)


def _add_renewing(actions: Commands, shared: argparse.ArgumentParser) -> None:
    show = actions.add_parser("show", parents=[shared], help="one key without its secret")
    show.add_argument("id", help="as the list shows it")
    show.set_defaults(run=plane_keys.show)
    rotate = actions.add_parser("rotate", parents=[shared], help="a new secret for a key; show it, once")
    rotate.add_argument("id", help="as the list shows it")
    rotate.add_argument("--grace-hours", type=float, default=24.0, help="how long the old one is good (default: 24)")
    rotate.set_defaults(run=plane_keys.rotate)
    expire = actions.add_parser("expire", parents=[shared], help="let a key end sooner")
    expire.add_argument("id", help="as the list shows it")
    expire.add_argument("--days", type=float, required=True, help="from now")
    expire.set_defaults(run=plane_keys.expire)


def _by_plane(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plane", action="store_true", help="ask the plane, instead of the file on this machine")


async def run_create(desk: Desk, arguments: argparse.Namespace) -> Exit:
    if arguments.plane:
        return await plane_keys.create(desk, arguments)
    from penstock.cli import key_store  # needs what only the plane's extra brings

    kept, key = key_store.create(desk.layout, arguments, time.time())
    desk.screen.data({"id": kept.id, "key": key, "tenant": kept.tenant, "subject": kept.subject})
    desk.screen.say(key)
    desk.screen.note("This is the only time it is shown. It may be used within a second.")
    return Exit.OK


async def run_list(desk: Desk, arguments: argparse.Namespace) -> Exit:
    if arguments.plane:
        return await plane_keys.listing(desk)
    from penstock.cli import key_store  # needs what only the plane's extra brings

    keys = key_store.shown(desk.layout, time.time())
    for key in keys:
        desk.screen.data(key)
    columns = ("key", "name", "tenant", "subject", "scopes", "tools", "made", "state")
    desk.screen.table(columns, [tuple(key.values()) for key in keys])
    return Exit.OK


async def run_revoke(desk: Desk, arguments: argparse.Namespace) -> Exit:
    if arguments.plane:
        return await plane_keys.revoke(desk, arguments)
    from penstock.cli import key_store  # needs what only the plane's extra brings

    if not key_store.revoke(desk.layout, arguments.id, time.time()):
        desk.screen.problem(Failure(Code.NOT_FOUND, f"there is no key {arguments.id}: `penstock keys list` shows them"))
        return Exit.NOT_FOUND
    desk.screen.data({"revoked": arguments.id})
    desk.screen.say(f"{arguments.id} is revoked; every service notices within about a second.")
    return Exit.OK
