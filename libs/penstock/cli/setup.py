"""penstock setup: makes the streams, buckets and consumers on a broker, or says what differs. Safe to repeat."""

import argparse

from penstock.bus import Bus, BusConfig
from penstock.bus.permissions import SETUP
from penstock.cli.desk import Commands, Desk
from penstock.cli.exits import Exit
from penstock.local.environment import seed_file
from penstock.local.prepared import SetUp
from penstock.local.processes import Notice, Restarts, Supervisor, stop_signals

FOR_EVER = Restarts(at_most=10**9)
"""What a broker keeps in its memory is gone when it restarts, and nobody but us may make it again."""


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("setup", parents=[shared], help="prepare a broker", description=__doc__)
    parser.add_argument("--url", default="", help="the broker; without it the plane on this machine")
    parser.add_argument("--seed-file", default="", help="nkey seed of the identity that may make streams")
    parser.add_argument("--ca-file", default="", help="the authority that signed the broker's certificate")
    stay = "stay, and make again what a broker that was restarted has forgotten, until ^C or SIGTERM"
    parser.add_argument("--stay", action="store_true", help=stay)
    parser.set_defaults(run=run)


async def run(desk: Desk, arguments: argparse.Namespace) -> Exit:
    url, seed = arguments.url, arguments.seed_file
    if not url:
        url = desk.profile().url
        own = seed_file(desk.layout, SETUP)
        seed = seed or (str(own) if own.exists() else "")
    if arguments.stay:
        part = SetUp(lambda: url, seed, arguments.ca_file)
        await Supervisor([[part]], lambda notice: _tell(desk, notice), FOR_EVER).run(stop_signals())
        return Exit.OK
    bus = await Bus.connect(BusConfig(url=url, principal=SETUP, seed_file=seed, tls_ca_file=arguments.ca_file))
    try:
        did = await bus.prepare()
    finally:
        await bus.close()
    desk.screen.data({"did": did})
    for sentence in did or ["everything was there already"]:
        desk.screen.say(sentence)
    return Exit.OK


def _tell(desk: Desk, notice: Notice) -> None:
    desk.screen.data({"part": notice.part, "what": notice.what, "detail": notice.detail})
    desk.screen.note(f"{notice.part} {notice.what} {notice.detail}".rstrip())
