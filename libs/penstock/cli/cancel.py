"""penstock cancel: stops a job, its model calls and its tools."""

import argparse

from penstock.cli.desk import Commands, Desk
from penstock.cli.exits import Exit
from penstock.cli.watching import show_end


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("cancel", parents=[shared], help="cancel a job", description=__doc__)
    parser.add_argument("job", help="its id")
    parser.add_argument("--wait", action="store_true", help="until it is over")
    parser.set_defaults(run=run)


async def run(desk: Desk, arguments: argparse.Namespace) -> Exit:
    async with desk.plane() as plane:
        view = await plane.cancel(arguments.job)
        if arguments.wait:
            with desk.screen.working(f"{view.id}: stopping"):
                view = await plane.wait(view.id, timeout_s=60)
    show_end(desk.screen, view, with_output=False)
    return Exit.OK
