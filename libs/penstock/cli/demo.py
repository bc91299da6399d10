"""penstock demo: a plane of its own, one story through it, and a check of every claim from outside."""

import argparse
import shutil

from penstock.cli.desk import Commands, Desk
from penstock.cli.exits import Exit


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("demo", parents=[shared], help="see it work, checked", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the demonstration's data folder there")
    parser.set_defaults(run=run)


async def run(desk: Desk, arguments: argparse.Namespace) -> Exit:
    from penstock.demo.story import tell  # needs what only the plane's extra brings

    root = desk.layout.folder("demo")
    holds = await tell(root, desk.screen, desk.environment)
    if arguments.keep or not holds:
        desk.screen.note(f"its files are in {root}")
    else:
        shutil.rmtree(root)
    return Exit.OK if holds else Exit.FAILED
