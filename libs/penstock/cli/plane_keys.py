"""penstock keys through the plane: in the name of the key that the command has, and never more than it holds."""

import argparse
import time

from penstock.cli.desk import Desk, UsageError
from penstock.cli.exits import Exit
from penstock.cli.watching import dollars
from penstock.contracts.keys import KeyCreate, KeyLimit, KeyView

DAY_S = 24 * 3600
NANO = 10**9
SHOWN_ONCE = "This is the only time it is shown."


async def create(desk: Desk, arguments: argparse.Namespace) -> Exit:
    limit = KeyLimit(round((arguments.usd or 0) * NANO), arguments.tokens or 0, period=arguments.period)
    wanted = KeyCreate(
        digest="",
        name=arguments.name,
        subject=arguments.subject,
        team=arguments.team,
        agent=arguments.agent,
        scopes=tuple(arguments.scope or ("*",)),
        tools=tuple(arguments.tool or ("*",)),
        limits=(limit,) if arguments.usd is not None or arguments.tokens is not None else (),
        expires=time.time() + arguments.days * DAY_S if arguments.days else 0.0,
    )
    async with desk.plane() as plane:
        if arguments.tenant not in ("", plane.tenant):
            raise UsageError(f"through the plane a key is of the tenant that you are: {plane.tenant}")
        view, key = await plane.keys.create(wanted)
    desk.screen.data({"id": view.id, "key": key, "tenant": view.tenant, "subject": view.subject})
    desk.screen.say(key)
    desk.screen.note(SHOWN_ONCE)
    return Exit.OK


async def listing(desk: Desk) -> Exit:
    async with desk.plane() as plane:
        views = [view async for view in plane.keys.list()]
    _print(desk, views)
    return Exit.OK


async def show(desk: Desk, arguments: argparse.Namespace) -> Exit:
    async with desk.plane() as plane:
        view = await plane.keys.show(arguments.id)
    _print(desk, [view])
    for limit in view.limits:
        most = [f"{limit.tokens} tokens"] if limit.tokens else []
        most += [dollars(limit.cost_nano)] if limit.cost_nano else []
        desk.screen.note(f"at most {' and '.join(most) or 'what its limits say'} ({limit.period})")
    return Exit.OK


async def rotate(desk: Desk, arguments: argparse.Namespace) -> Exit:
    async with desk.plane() as plane:
        view, key = await plane.keys.rotate(arguments.id, arguments.grace_hours * 3600)
    desk.screen.data({"id": view.id, "key": key, "grace": view.grace})
    desk.screen.say(key)
    ends = f" The key before is good until {_day(view.grace)}." if view.grace else " The key before is good no more."
    desk.screen.note(SHOWN_ONCE + ends)
    return Exit.OK


async def expire(desk: Desk, arguments: argparse.Namespace) -> Exit:
    async with desk.plane() as plane:
        view = await plane.keys.expire(arguments.id, time.time() + arguments.days * DAY_S)
    desk.screen.data(view)
    desk.screen.say(f"{view.id} ends {_day(view.expires)}.")
    return Exit.OK


async def revoke(desk: Desk, arguments: argparse.Namespace) -> Exit:
    async with desk.plane() as plane:
        revoked = await plane.keys.revoke(arguments.id, below=arguments.below, reason=arguments.reason)
    desk.screen.data(revoked)
    desk.screen.say(f"{', '.join(revoked.ids)}: revoked, and all that came from it, within a second everywhere.")
    if revoked.left:
        desk.screen.note(f"It had made keys that are still good: {', '.join(revoked.left)} (--below ends them too).")
    return Exit.OK


def _print(desk: Desk, views: list[KeyView]) -> None:
    for view in views:
        desk.screen.data(view)
    columns = ("key", "name", "subject", "scopes", "made", "ends", "state", "by")
    desk.screen.table(columns, [_row(view) for view in views])


def _row(view: KeyView) -> tuple[str, ...]:
    made, ends = _day(view.created), _day(view.expires) if view.expires else "never"
    by = view.creator or view.source
    return view.id, view.name, view.subject, " ".join(view.scopes), made, ends, view.state, by


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at)) + " UTC"
