"""penstock follow: a job's events and output, from the start or from where one stopped."""

import argparse

from penstock.cli.desk import Commands, Desk
from penstock.cli.exits import Exit
from penstock.cli.watching import Watching


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("follow", parents=[shared], help="follow a job", description=__doc__)
    parser.add_argument("job", help="its id")
    parser.add_argument("--after", type=int, default=-1, metavar="N", help="events after number N only")
    parser.add_argument("--no-tokens", action="store_true", help="events only")
    parser.set_defaults(run=run)


async def run(desk: Desk, arguments: argparse.Namespace) -> Exit:
    watching = Watching(desk.screen, tokens=not arguments.no_tokens)
    async with desk.plane() as plane:
        return await watching.watch(plane, arguments.job, after=arguments.after, appears_within_s=0.0)
