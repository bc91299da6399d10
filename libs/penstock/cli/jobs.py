"""penstock jobs, penstock job: what there is, and one as it stands."""

import argparse
from datetime import UTC, datetime
from typing import get_args

from penstock.cli.desk import Commands, Desk
from penstock.cli.exits import Exit, of_job
from penstock.cli.watching import dollars, show_end
from penstock.contracts.jobs import FINAL, State


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    many = commands.add_parser("jobs", parents=[shared], help="list jobs, the newest first")
    many.add_argument("--limit", type=int, default=20, help="so many at most")
    many.add_argument("--before", default="", metavar="ID", help="the page after this job")
    many.add_argument("--state", default="", choices=["", *get_args(State)], help="only those in this state")
    many.set_defaults(run=run_many)
    one = commands.add_parser("job", parents=[shared], help="show one job; ends as the job ended")
    one.add_argument("job", help="its id")
    one.set_defaults(run=run_one)


async def run_many(desk: Desk, arguments: argparse.Namespace) -> Exit:
    async with desk.plane() as plane:
        page = await plane.list(limit=arguments.limit, before=arguments.before, state=arguments.state)
    desk.screen.data(page)
    rows = [
        (job.id, job.kind, job.state, _time(job.created), job.steps, job.usage.total, dollars(job.cost_nano))
        for job in page.jobs
    ]
    desk.screen.table(("job", "kind", "state", "submitted", "steps", "tokens", "cost"), rows)
    if page.next:
        desk.screen.note(f"more: penstock jobs --before {page.next}")
    return Exit.OK


async def run_one(desk: Desk, arguments: argparse.Namespace) -> Exit:
    async with desk.plane() as plane:
        view = await plane.get(arguments.job)
    show_end(desk.screen, view, with_output=True)
    return of_job(view) if view.state in FINAL else Exit.OK


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
