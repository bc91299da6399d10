"""penstock policy: check and test bundles of policies, publish them, and ask about decisions of the past."""

import argparse
import time
from pathlib import Path

from penstock.cli.desk import Commands, Desk, UsageError
from penstock.cli.exits import Exit
from penstock.contracts.bundles import (
    BundlesRequest,
    DecisionsRequest,
    ExplainRequest,
    Explanation,
    Publish,
    Published,
    Rollback,
    RuleSaid,
)
from penstock.contracts.governance import BUNDLE_LIST, BUNDLE_PUBLISH, BUNDLE_ROLLBACK, DECISIONS, EXPLAIN

BUNDLE_HELP = "a folder, a version of a published bundle, or starter, strict, hipaa or soc2"
SHORT = 12


def add(commands: Commands, shared: argparse.ArgumentParser) -> None:
    parser = commands.add_parser("policy", help="check, publish and explain policies", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, run, what in (
        ("check", run_check, "is it sound? reads, validates, tests, and warns"),
        ("test", run_test, "its own cases, each with its answer"),
        ("publish", run_publish, "put it in force, in the whole plane, at once"),
    ):
        one = actions.add_parser(name, parents=[shared], help=what)
        one.add_argument("bundle", metavar="BUNDLE", help=BUNDLE_HELP)
        one.add_argument("--tools", type=Path, help="a tools file: policies may look at these tools' arguments")
        one.set_defaults(run=run)
        if name == "publish":
            one.add_argument("--note", default="", help="why, for the history")
            one.add_argument("--expects", type=int, default=-1, help="only over the publication of this number")
            one.add_argument("--lock-out", action="store_true", help="also when you could not publish again under it")
    back = actions.add_parser("rollback", parents=[shared], help="put the version before, or a named one, in force")
    back.add_argument("version", nargs="?", default="", help="its first characters; nothing is the one before")
    back.add_argument("--note", default="", help="why, for the history")
    back.set_defaults(run=run_rollback)
    listing = actions.add_parser("list", parents=[shared], help="what is in force, and what was")
    listing.set_defaults(run=run_list)
    show = actions.add_parser("show", parents=[shared], help="the files of a version")
    show.add_argument("bundle", metavar="BUNDLE", nargs="?", default="", help=BUNDLE_HELP + "; nothing: in force")
    show.add_argument("--to", type=Path, help="write them into this new folder")
    show.set_defaults(run=run_show)
    diff = actions.add_parser("diff", parents=[shared], help="policies and answers that differ between two bundles")
    diff.add_argument("before", metavar="BEFORE", help=BUNDLE_HELP + "; current is what is in force")
    diff.add_argument("after", metavar="AFTER", help="the same")
    diff.set_defaults(run=run_diff)
    explain = actions.add_parser("explain", parents=[shared], help="why a recorded decision fell so")
    explain.add_argument("decision", help="its id")
    explain.add_argument("--tenant", default="", help="whose it is, when not yours")
    explain.set_defaults(run=run_explain)
    _add_backtest(actions, shared)


def _add_backtest(actions: Commands, shared: argparse.ArgumentParser) -> None:
    test = actions.add_parser("backtest", parents=[shared], help="ask recorded decisions again, of another bundle")
    test.add_argument("bundle", metavar="BUNDLE", help=BUNDLE_HELP)
    test.add_argument("--tools", type=Path, help="a tools file, as for check")
    test.add_argument(
        "--from", dest="source", type=Path, help="audit records, one of JSON a line; nothing: the plane's"
    )
    test.add_argument("--tenant", default="", help="whose decisions, when not yours")
    test.add_argument("--jobs", type=int, default=1, help="processes")
    test.set_defaults(run=run_backtest)


async def run_check(desk: Desk, arguments: argparse.Namespace) -> Exit:
    from penstock.cli import policy_bundle  # needs what only the plane's extra brings

    files = await policy_bundle.files_of(desk, arguments.bundle, arguments.tools)
    checked = policy_bundle.check(files)
    desk.screen.data(checked)
    for problem in checked.problems:
        desk.screen.wrong(problem)
    for warning in checked.warnings:
        desk.screen.say(f"warning: {warning}", style="yellow")
    if checked.problems:
        desk.screen.say(f"refused: {len(checked.problems)} problems", style="bold red")
        return Exit.USAGE
    desk.screen.say(f"sound: {checked.rules} policies, version {checked.version[:SHORT]}", style="green")
    return Exit.OK


async def run_test(desk: Desk, arguments: argparse.Namespace) -> Exit:
    from penstock.cli import policy_bundle  # needs what only the plane's extra brings

    cases = policy_bundle.try_cases(await policy_bundle.files_of(desk, arguments.bundle, arguments.tools))
    for case in cases:
        desk.screen.data(case)
        good = not case.problem
        desk.screen.say(f"{'ok ' if good else 'NOT'} {case.name}: {case.answer}", style="" if good else "red")
    wrong = sum(bool(case.problem) for case in cases)
    desk.screen.note(f"{len(cases)} cases, {wrong} wrong")
    return Exit.FAILED if wrong else Exit.OK


async def run_publish(desk: Desk, arguments: argparse.Namespace) -> Exit:
    from penstock.cli import policy_bundle  # needs what only the plane's extra brings

    files = await policy_bundle.files_of(desk, arguments.bundle, arguments.tools)
    request = Publish(files, arguments.note, arguments.expects, arguments.lock_out)
    async with desk.plane() as plane:
        published = await plane.ask(BUNDLE_PUBLISH, request)
    return _published(desk, published)


async def run_rollback(desk: Desk, arguments: argparse.Namespace) -> Exit:
    async with desk.plane() as plane:
        published = await plane.ask(BUNDLE_ROLLBACK, Rollback(arguments.version, arguments.note))
    return _published(desk, published)


def _published(desk: Desk, published: Published) -> Exit:
    desk.screen.data(published)
    for warning in published.warnings:
        desk.screen.say(f"warning: {warning}", style="yellow")
    before = f", before it {published.previous[:SHORT]}" if published.previous else ""
    desk.screen.say(f"publication {published.number} is in force: version {published.version[:SHORT]}{before}")
    return Exit.OK


async def run_list(desk: Desk, arguments: argparse.Namespace) -> Exit:
    async with desk.plane() as plane:
        listed = await plane.ask(BUNDLE_LIST, BundlesRequest())
    desk.screen.data(listed)
    rows = [
        (
            str(one.number),
            one.version[:SHORT],
            time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(one.at)),
            f"{one.tenant} {one.by}",
            "rollback" if one.rollback else "publication",
            one.note,
        )
        for one in listed.publications
    ]
    desk.screen.table(("#", "version", "when (UTC)", "who", "what", "note"), rows)
    from_folder = " (the service's folder: nothing was published)" if listed.folder else ""
    desk.screen.say(f"in force: {listed.version[:SHORT]}{from_folder}")
    if listed.problem:
        desk.screen.wrong(listed.problem)
    return Exit.OK


async def run_show(desk: Desk, arguments: argparse.Namespace) -> Exit:
    from penstock.cli import policy_bundle  # needs what only the plane's extra brings

    files = await policy_bundle.files_of(desk, arguments.bundle or policy_bundle.CURRENT)
    desk.screen.data(files)
    if arguments.to is not None:
        policy_bundle.write(arguments.to, files)
        desk.screen.say(f"{len(files)} files in {arguments.to}")
        return Exit.OK
    for name, text in files.items():
        desk.screen.say(f"// ---- {name}", style="bold")
        desk.screen.say(text)
    return Exit.OK


async def run_diff(desk: Desk, arguments: argparse.Namespace) -> Exit:
    from penstock.cli import policy_bundle  # needs what only the plane's extra brings

    before = await policy_bundle.files_of(desk, arguments.before)
    found = policy_bundle.differ(before, await policy_bundle.files_of(desk, arguments.after))
    desk.screen.data(found)
    for mark, changes, style in (
        ("+", found.added, "green"),
        ("-", found.removed, "red"),
        ("~", found.changed, "yellow"),
    ):
        for change in changes:
            desk.screen.say(f"{mark} {change.id}", style=style)
            for text, sign in ((change.before, "-"), (change.after, "+")):
                for line in text.splitlines():
                    desk.screen.say(f"    {sign} {line}")
    for name in found.files:
        desk.screen.say(f"~ {name}", style="yellow")
    for case in found.cases:
        desk.screen.say(f"case {case.name!r}: {case.before} -> {case.after}")
    if found.none:
        desk.screen.say("no difference in policies and answers")
    return Exit.OK


async def run_explain(desk: Desk, arguments: argparse.Namespace) -> Exit:
    async with desk.plane() as plane:
        found = await plane.ask(EXPLAIN, ExplainRequest(arguments.decision, arguments.tenant))
    desk.screen.data(found)
    _explain(desk, found)
    return Exit.OK


def _explain(desk: Desk, found: Explanation) -> None:
    record = found.decision.record
    code = f" ({record.code})" if record.code else ""
    desk.screen.say(f"{found.decision.time}  {record.effect}{code}  {record.action} {record.resource}", style="bold")
    desk.screen.say(f"by {record.who.origin} of {found.decision.tenant}, bundle {found.bundle[:SHORT]}")
    for reason in record.reasons:
        desk.screen.say(f"  {reason.policy}: {reason.text}")
    for rule in found.rules:
        _rule(desk, rule)
    for note in found.notes:
        desk.screen.note(note)


def _rule(desk: Desk, rule: RuleSaid) -> None:
    kind = "permit" if rule.permits else "forbid"
    desk.screen.say(f"\n{kind} {rule.id}: {'applied' if rule.applies else 'did not apply'}", style="bold")
    for one in rule.compared:
        values = ", ".join(f"{term} is {value}" for term, value in one.found.items())
        desk.screen.say(f"  {one.holds:<8}{one.text}{f'   where {values}' if values else ''}")
    if rule.needed:
        desk.screen.say("  needed: " + (" and " if rule.permits else " or ").join(rule.needed))


async def run_backtest(desk: Desk, arguments: argparse.Namespace) -> Exit:
    from penstock.cli import policy_bundle  # needs what only the plane's extra brings

    if not 1 <= arguments.jobs <= 256:
        raise UsageError("--jobs is 1 to 256")
    files = await policy_bundle.files_of(desk, arguments.bundle, arguments.tools)
    with desk.screen.working("asking again"), policy_bundle.replaying(files, arguments.jobs) as test:
        if arguments.source is not None:
            test.feed_file(arguments.source)
        else:
            async with desk.plane() as plane:
                after = 0
                while True:
                    page = await plane.ask(DECISIONS, DecisionsRequest(arguments.tenant, after, limit=1000))
                    test.feed_page(page)
                    after = page.next
                    if not after:
                        break
        report = test.end()
    desk.screen.data(report)
    rows = [
        (
            str(group.count),
            group.change,
            group.rule,
            example.decision,
            f"{example.action} {example.resource}",
            example.why,
        )
        for group in sorted(report.groups.values(), key=lambda group: -group.count)
        for example in group.examples[:1]
    ]
    desk.screen.table(("decisions", "change", "by rule", "such as", "of", "now"), rows)
    desk.screen.say(
        f"{report.decisions} decisions: {report.changed} would change, {report.same} stay"
        f" ({report.reasons} of them by other rules), {report.unknown} cannot be told, {report.older} are too old"
    )
    return Exit.OK
