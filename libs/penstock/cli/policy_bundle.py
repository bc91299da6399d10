"""Bundles on this machine: where their files come from, what is wrong with them, what they answer."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import yaml

from penstock.cli.desk import Desk, UsageError
from penstock.contracts.bundles import BundleRef, DecisionPage
from penstock.contracts.governance import BUNDLE_SHOW
from penstock.kit.obligations import KNOWN
from services.policy.publishing.backtest import Backtest, BadLine, backtest, chunks
from services.policy.publishing.diff import Difference, difference
from services.policy.publishing.replay import Report
from services.policy.rulebook import SHIPPED
from services.policy.rules.bundle import Bundle
from services.policy.rules.bundle_cases import answer_to, prove, read_cases, try_case
from services.policy.rules.compiled import compile_bundle
from services.policy.rules.sources import TESTS_FILE, TOOLS_FILE, BundleRefused, read_sources, version_of

CURRENT = "current"
TOOLS_MAX_BYTES = 4 * 1024 * 1024
Files = dict[str, str]


class Checked(msgspec.Struct, frozen=True):
    """`problems` is empty for a bundle that may be published."""

    version: str
    rules: int
    problems: tuple[str, ...]
    warnings: tuple[str, ...]


class Tried(msgspec.Struct, frozen=True):
    """One case: what it is answered, and what is wrong with that, "" when nothing is."""

    name: str
    answer: str
    problem: str


async def files_of(desk: Desk, named: str, tools: Path | None = None) -> Files:
    """The files of a folder, of a bundle that comes with the plane, or of a published version; a tools file is added.

    Raises UsageError, and Failure when the plane does not have the version.
    """
    files = _here(named)
    if files is None:
        async with desk.plane() as plane:
            view = await plane.ask(BUNDLE_SHOW, BundleRef("" if named == CURRENT else named))
        files = view.files
    if tools is not None:
        files = {**files, TOOLS_FILE: _tools(tools)}
    return files


def _here(named: str) -> Files | None:
    folder = Path(named)
    shipped = SHIPPED / named
    try:
        if folder.is_dir():
            return read_sources(folder)
        if "/" not in named and shipped.is_dir():
            return read_sources(shipped)
    except BundleRefused as refused:
        raise UsageError(str(refused)) from refused
    if named != CURRENT and not set(named) <= set("0123456789abcdef"):
        raise UsageError(f"{named!r} is no folder and no version")
    return None


def _tools(path: Path) -> str:
    """Names and parameters alone: addresses and credentials of a tools file do not belong into a bundle."""
    try:
        if path.stat().st_size > TOOLS_MAX_BYTES:
            raise UsageError(f"{path} is larger than {TOOLS_MAX_BYTES} bytes")
        document: object = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    entries = document.get("tools") if isinstance(document, Mapping) else None
    if not isinstance(entries, list):
        raise UsageError(f"{path} is no tools file: there is no list `tools`")
    schemas = {
        str(entry["name"]): entry.get("parameters", {"type": "object"})
        for entry in entries
        if isinstance(entry, Mapping) and "name" in entry
    }
    return msgspec.json.format(msgspec.json.encode(dict(sorted(schemas.items()))), indent=2).decode() + "\n"


def check(files: Files) -> Checked:
    """As the policy service checks it before it is published."""
    try:
        bundle = prove(files, KNOWN)
    except BundleRefused as refused:
        return Checked(version_of(files), 0, tuple(refused.problems), ())
    return Checked(bundle.version, bundle.rules, (), bundle.warnings)


def compiled(files: Files) -> Bundle:
    """Raises UsageError that names every problem."""
    try:
        return compile_bundle(files)
    except BundleRefused as refused:
        raise UsageError(str(refused)) from refused


def try_cases(files: Files) -> list[Tried]:
    """Every case with its answer. Raises UsageError."""
    bundle = compiled(files)
    try:
        cases = read_cases(files.get(TESTS_FILE, ""))
    except BundleRefused as refused:
        raise UsageError(str(refused)) from refused
    tried: list[Tried] = []
    for case in cases:
        verdict = answer_to(bundle, case, KNOWN)
        policies = ", ".join(reason.policy for reason in verdict.reasons)
        tried.append(Tried(case.name, f"{verdict.effect} by {policies}", try_case(bundle, case, KNOWN)))
    return tried


def differ(before: Files, after: Files) -> Difference:
    """Raises UsageError."""
    try:
        cases = [*read_cases(before.get(TESTS_FILE, "")), *read_cases(after.get(TESTS_FILE, ""))]
    except BundleRefused as refused:
        raise UsageError(str(refused)) from refused
    return difference(compiled(before), compiled(after), cases, KNOWN)


def write(folder: Path, files: Files) -> None:
    """Into a new folder. Raises UsageError."""
    try:
        folder.mkdir(parents=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder}: {error.strerror}") from error


class Replaying:
    """Feeds recorded decisions to a backtest."""

    def __init__(self, test: Backtest) -> None:
        self._test = test

    def feed_file(self, path: Path) -> None:
        """Line by line. Raises UsageError."""
        try:
            with path.open("rb") as lines:
                for chunk in chunks(lines):
                    self._test.feed(chunk)
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from error
        except BadLine as bad:
            raise UsageError(str(bad)) from bad

    def feed_page(self, page: DecisionPage) -> None:
        self._test.feed([msgspec.json.encode(one) for one in page.decisions])

    def end(self) -> Report:
        """Raises UsageError."""
        try:
            return self._test.end()
        except BadLine as bad:
            raise UsageError(str(bad)) from bad


@contextmanager
def replaying(files: Files, jobs: int) -> Iterator[Replaying]:
    """A backtest of the bundle of these files."""
    with backtest(compiled(files), KNOWN, jobs) as test:
        yield Replaying(test)
