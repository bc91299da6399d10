"""Prints what services need, as pyproject.toml says: python deploy/requirements.py router (without a name: all of them)

So that an image installs its dependencies in a layer of their own, before the source that changes more often.
"""

import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

OWN = re.compile(r"penstock\[([\w,]+)\]")
NOT_SERVICES = {"plane", "dev"}


def requirements(project: Path, extras: Iterable[str] = ()) -> list[str]:
    """The package's own and those of the extras, with the extras that these name. KeyError for no such one."""
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    known: dict[str, list[str]] = table["optional-dependencies"]
    found: dict[str, None] = dict.fromkeys(table["dependencies"])
    waiting = list(extras) or [name for name in known if name not in NOT_SERVICES]
    while waiting:
        for line in known[waiting.pop()]:
            own = OWN.fullmatch(line)
            if own:
                waiting += own[1].split(",")
            else:
                found[line] = None
    return list(found)


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements(Path("pyproject.toml"), sys.argv[1:])) + "\n")
