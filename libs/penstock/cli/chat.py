"""penstock chat: a conversation with a model, each turn a job; or one question, answered and done."""

import argparse
import asyncio
import sys

from penstock.cli.desk import Commands, Desk
from penstock.cli.exits import Exit
from penstock.cli.watching import Watching
from penstock.client import Penstock, job
from penstock.contracts.errors import Failure
from penstock.contracts.ids import new_id


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("chat", parents=[shared], help="talk with a model", description=__doc__)
    parser.add_argument("text", nargs="?", default="", help="without it: a conversation, ended by an empty line or ^D")
    parser.add_argument("--model", default="", help="an alias of the models file")
    parser.add_argument("--session", default="", help="go on with this conversation")
    parser.add_argument("--usd", type=float, default=0.0, help="the most that each turn may cost")
    parser.set_defaults(run=run)


async def run(desk: Desk, arguments: argparse.Namespace) -> Exit:
    async with desk.plane() as plane:
        if arguments.text:
            return await _turn(desk, plane, arguments, arguments.text, arguments.session)
        return await _conversation(desk, plane, arguments)


async def _conversation(desk: Desk, plane: Penstock, arguments: argparse.Namespace) -> Exit:
    session = arguments.session or new_id("ses")
    desk.screen.note(f"session {session}; ^C stops an answer, an empty line ends")
    while True:
        text = await _read_line()
        if not text.strip():
            return Exit.OK
        try:
            await _turn(desk, plane, arguments, text, session)
        except Failure as failure:
            desk.screen.problem(failure)


async def _turn(desk: Desk, plane: Penstock, arguments: argparse.Namespace, text: str, session: str) -> Exit:
    asked = job("chat", text, model=arguments.model, session=session, usd=arguments.usd)
    submitted = await plane.submit(asked)
    desk.screen.data({"submitted": submitted})
    return await Watching(desk.screen, quiet=True).watch_politely(plane, submitted.id)


async def _read_line() -> str:
    """A line of standard input, "" at its end; ^C is heard while it waits."""
    if sys.stdin.isatty():
        sys.stderr.write("> ")
        sys.stderr.flush()
    loop = asyncio.get_running_loop()
    there = asyncio.Event()
    try:
        loop.add_reader(sys.stdin.fileno(), there.set)
    except PermissionError:  # a plain file is always there to be read
        return sys.stdin.readline()
    try:
        await there.wait()
    finally:
        loop.remove_reader(sys.stdin.fileno())
    return sys.stdin.readline()
