"""Every small change of the store's scripts, one at a time: python -m tests.services.policy.money.mutants

A statement left out, a comparison or a sign turned round, `and` for `or`, another field: a hundred and more. Each is
played against the accounts on paper (test_scripts.py) until they differ; what survives is printed, and must be one of
EQUIVALENT, which nobody could notice.
"""

import asyncio
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from penstock.contracts.errors import Failure
from penstock.kit.store import Store
from services.policy.money.accounts import SCRIPTS
from tests.services.policy.money.test_scripts import STEPS_EACH, Beside
from tests.support.valkey_server import valkey_server

GAMES_MAX = 60
SWAPS = (
    (r"==", "~="),
    (r"~=", "=="),
    (r"(?<![<>=~-])<(?!=)", "<="),
    (r"<=", "<"),
    (r"(?<![<>=~-])>(?!=)", ">="),
    (r">=", ">"),
    (r"\band\b", "or"),
    (r"\bor\b", "and"),
    (r" - ", " + "),
    (r" \+ ", " - "),
    (r"'-'", "''"),
    (r", '', ", ", '-', "),
    (r"'held_'", "''"),
    (r"'held_' \.\. ", ""),
    (r"\btrue\b", "false"),
    (r"math\.max", "math.min"),
    (r"'XX', ", ""),
    (r"'GT', ", ""),
    (r"HSETNX", "HSET"),
    (r"KEYS\[2\]", "KEYS[3]"),
    (r"KEYS\[3\]", "KEYS[2]"),
    (r"'expired'", "'held'"),
    (r"'void'", "'held'"),
    (r"'settled'", "'void'"),
    (r"'nano'", "'tokens'"),
    (r"'tokens'", "'nano'"),
    (r"'requests'", "'slots'"),
    (r"'slots'", "'requests'"),
)
_STATEMENT = re.compile(
    r"\s*(?:(?:if|for) .* (?:then|do) )?(?:redis\.call|change|commit|notice|hold|take|left = |names\[|over\[|[a-z]+ = )"
)
NO_ZERO = "a limit is more than 0, or there is none"
EQUIVALENT = {
    "if most > 0 and percent > tonumber(told) and reached then": NO_ZERO,
    "if limit > 0 and wanted > 0 then": NO_ZERO,
    "if limit > 0 then": NO_ZERO,
    "if left < 0 or free <= left then left = math.max(0, free) end": "the same number takes its own place",
}
"""Text of the changed line, and why nobody can notice."""


@dataclass(frozen=True)
class Mutant:
    """One script with one change."""

    script: str
    number: int
    was: str
    line: str
    text: str


def mutants() -> Iterator[Mutant]:
    """All of them."""
    for path in sorted(SCRIPTS.glob("*.lua")):
        lines = path.read_text(encoding="utf-8").split("\n")
        for number, line in enumerate(lines):
            if line.strip().startswith("--"):
                continue
            for changed in {*_changes(line)} - {line}:
                text = "\n".join([*lines[:number], changed, *lines[number + 1 :]])
                yield Mutant(path.stem, number + 1, line.strip(), changed.strip(), text)


def _changes(line: str) -> Iterator[str]:
    if _STATEMENT.match(line) and line.count("(") == line.count(")") and not line.rstrip().endswith((",", "{", "then")):
        yield ""
    for pattern, other in SWAPS:
        for found in re.finditer(pattern, line):
            yield line[: found.start()] + other + line[found.end() :]


async def caught(mutant: Mutant, store: Store, folder: Path) -> int:
    """In which game it was caught, from 1; 0: it survived them all."""
    shutil.copytree(SCRIPTS, folder, dirs_exist_ok=True)
    (folder / f"{mutant.script}.lua").write_text(mutant.text, encoding="utf-8")
    for game in range(GAMES_MAX):
        try:
            await Beside(store, random.Random(game), folder).play(STEPS_EACH)
        except (AssertionError, Failure, KeyError, ValueError, TypeError):
            return game + 1
    return 0


async def survivors(only: str = "") -> tuple[int, list[Mutant]]:
    """How many mutants there are, and those that nobody caught and that are not EQUIVALENT."""
    found: list[Mutant] = []
    count = 0
    async with valkey_server() as server:
        store = Store(server.url, timeout_s=2.0)
        with tempfile.TemporaryDirectory() as name:
            for mutant in mutants():
                if only and mutant.script != only:
                    continue
                count += 1
                if mutant.line not in EQUIVALENT and not await caught(mutant, store, Path(name)):
                    found.append(mutant)
        await store.close()
    return count, found


if __name__ == "__main__":
    how_many, left = asyncio.run(survivors(*sys.argv[1:]))
    for one in left:
        print(f"{one.script}.lua:{one.number}\n  - {one.was}\n  + {one.line}")  # noqa: T201  # it is what it is for
    print(f"{how_many} mutants, {len(left)} survived")  # noqa: T201
    sys.exit(bool(left))
