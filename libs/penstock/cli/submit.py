"""penstock submit: one job, handed in or published."""

import argparse
import sys
from pathlib import Path
from typing import get_args

import msgspec

from penstock.cli.desk import Commands, Desk, UsageError
from penstock.cli.exits import Exit
from penstock.cli.watching import Watching
from penstock.client import job
from penstock.contracts.jobs import Job, Kind


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("submit", parents=[shared], help="submit a job", description=__doc__)
    parser.add_argument("kind", choices=get_args(Kind))
    parser.add_argument(
        "input", nargs="?", default="", help="text, or JSON for a tool's arguments; - is standard input"
    )
    parser.add_argument("--input-json", action="store_true", help="the input is JSON, whatever the kind")
    parser.add_argument("--file", type=Path, help="ingest: the document; other kinds: the input")
    parser.add_argument("--agent", default="", help="who does an agent job, by its name in the agents file")
    parser.add_argument("--model", default="", help="an alias of the models file")
    parser.add_argument("--tool", default="", help="what a tool job calls, by its name in the tools file")
    parser.add_argument("--session", default="", help="the conversation that it belongs to")
    parser.add_argument("--collection", default="", help="where documents are kept and looked for; `default` if none")
    parser.add_argument("--usd", type=float, default=0.0, help="the most that it may cost")
    parser.add_argument("--tokens", type=int, default=0, help="the most that it may use")
    parser.add_argument("--deadline", type=float, default=0.0, metavar="SECONDS", help="when it must be over, from now")
    parser.add_argument("--key", default="", help="idempotency key: the same key twice is one job")
    parser.add_argument("--label", action="append", default=[], metavar="NAME=VALUE", help="shown with the job")
    parser.add_argument("--publish", action="store_true", help="only put it onto the queue; nobody looks at it yet")
    parser.add_argument("--wait", action="store_true", help="show it until it is over; ^C cancels it")
    parser.set_defaults(run=run)


async def run(desk: Desk, arguments: argparse.Namespace) -> Exit:
    wanted = _job(arguments)
    screen = desk.screen
    async with desk.plane() as plane:
        submitted = await (plane.publish(wanted) if arguments.publish else plane.submit(wanted))
        screen.data({"submitted": submitted})
        if arguments.wait:
            screen.note(f"{submitted.id}{' (submitted before)' if submitted.duplicate else ''}")
            return await Watching(screen).watch_politely(plane, submitted.id)
    screen.say(submitted.id)
    screen.note(f"follow it with: penstock follow {submitted.id}")
    return Exit.OK


def _job(arguments: argparse.Namespace) -> Job:
    labels = {}
    for label in arguments.label:
        name, mark, value = label.partition("=")
        if not mark:
            raise UsageError(f"--label is written NAME=VALUE, not {label!r}")
        labels[name] = value
    return job(
        arguments.kind,
        _input(arguments),
        agent=arguments.agent,
        model=arguments.model,
        tool=arguments.tool,
        session=arguments.session,
        collection=arguments.collection,
        usd=arguments.usd,
        tokens=arguments.tokens,
        deadline_s=arguments.deadline,
        idempotency_key=arguments.key,
        labels=labels,
    )


def _input(arguments: argparse.Namespace) -> object:
    text = _text(arguments)
    if arguments.kind == "ingest" and not arguments.input_json:
        source = arguments.file.name if arguments.file else "command-line"
        return {"source": source, "text": text, "title": source}
    if arguments.input_json or arguments.kind == "tool":
        try:
            return msgspec.json.decode(text or "{}")
        except msgspec.DecodeError as error:
            raise UsageError(f"the input is not JSON: {error}") from error
    if not text:
        raise UsageError("an input is needed: write it after the kind, or use --file or -")
    return text


def _text(arguments: argparse.Namespace) -> str:
    try:
        if arguments.file is not None:
            return str(arguments.file.read_text(encoding="utf-8"))
        return sys.stdin.read() if arguments.input == "-" else str(arguments.input)
    except OSError as error:
        raise UsageError(f"{arguments.file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{arguments.file or 'standard input'} is not UTF-8 text") from error
