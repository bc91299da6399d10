"""penstock doctor: looks at everything a plane on this machine needs, and says what is wrong and what to do."""

import argparse

from penstock.cli.desk import Commands, Desk
from penstock.cli.examine import everything
from penstock.cli.exits import Exit

MARKS = {"good": "green", "bad": "red", "unsure": "yellow"}


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("doctor", parents=[shared], help="what is wrong, and what to do", description=__doc__)
    parser.set_defaults(run=run)


async def run(desk: Desk, arguments: argparse.Namespace) -> Exit:
    with desk.screen.working("looking"):
        findings = [finding async for finding in everything(desk)]
    for finding in findings:
        desk.screen.data(finding)
        desk.screen.say(f"{finding.state:<7}{finding.what}: {finding.detail}", style=MARKS[finding.state])
        if finding.todo:
            desk.screen.say(f"       -> {finding.todo}")
    bad = [finding for finding in findings if finding.state == "bad"]
    if bad:
        desk.screen.note(f"{len(bad)} of {len(findings)} are bad")
        return Exit.UNAVAILABLE
    desk.screen.note("nothing is wrong")
    return Exit.OK
