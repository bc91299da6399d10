"""Reads the command line, runs one command, and turns whatever ends it into an exit status."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from penstock.cli import (
    accounts,
    approvals,
    audit,
    cancel,
    chat,
    demo,
    doctor,
    follow,
    jobs,
    keys,
    policy,
    runs,
    setup,
    submit,
    up,
    version,
)
from penstock.cli.desk import Desk, Run, UsageError
from penstock.cli.exits import Exit, epilog, of_failure
from penstock.cli.screen import Screen
from penstock.client import ProfileError
from penstock.contracts.errors import Code, Failure
from penstock.local.child import StartFailed
from penstock.local.layout import FolderInUse, FolderUnusable
from penstock.local.processes import GaveUp
from penstock.local.wheels import WheelMissing

COMMANDS = (
    up,
    submit,
    follow,
    cancel,
    chat,
    jobs,
    runs,
    approvals,
    accounts,
    audit,
    keys,
    policy,
    doctor,
    setup,
    demo,
    version,
)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON, one value per line")
    shared.add_argument("--data", metavar="FOLDER", help="the plane's data folder (PENSTOCK_DATA)")
    top = argparse.ArgumentParser(
        "penstock",
        description="An agentic data plane on NATS: run it, give it jobs, read its evidence.",
        epilog=epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands, shared)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """The process. Returns the exit status."""
    arguments = parser().parse_args(argv)
    environment = dict(os.environ)
    if arguments.data:
        environment["PENSTOCK_DATA"] = arguments.data
    desk = Desk(Screen(arguments.json), environment, Path.cwd(), Path.home())
    run: Run = arguments.run
    try:
        return int(asyncio.run(_ran(desk, run, arguments)))
    except KeyboardInterrupt:
        desk.screen.end_line()
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # whoever read us has gone; Python would complain once more while it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED


async def _ran(desk: Desk, run: Run, arguments: argparse.Namespace) -> Exit:
    try:
        return await run(desk, arguments)
    except Failure as failure:
        desk.screen.problem(failure)
        return of_failure(failure)
    except (UsageError, ProfileError, FolderUnusable, FolderInUse, WheelMissing) as error:
        desk.screen.problem(Failure(Code.INVALID, str(error)))
        return Exit.USAGE
    except ModuleNotFoundError as error:
        # the command alone is installed, and this needs the plane
        desk.screen.problem(Failure(Code.INVALID, str(WheelMissing(error.name or "a package"))))
        return Exit.USAGE
    except (StartFailed, GaveUp) as error:
        desk.screen.problem(Failure(Code.UNAVAILABLE, str(error)))
        return Exit.UNAVAILABLE
