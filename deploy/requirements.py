"""Prints what one service needs, as pyproject.toml says: python deploy/requirements.py router

So that an image installs its dependencies in a layer of their own, before the source that changes more often.
"""

import re
import sys
import tomllib
from pathlib import Path

OWN = re.compile(r"penstock\[([\w,]+)\]")


def requirements(project: Path, extra: str) -> list[str]:
    """Those of the package itself and of the extra, with the extras that it names. Raises KeyError for no such extra."""
    table = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = table["optional-dependencies"]
    found: dict[str, None] = dict.fromkeys(table["dependencies"])
    waiting = [extra]
    while waiting:
        for line in extras[waiting.pop()]:
            own = OWN.fullmatch(line)
            if own:
                waiting += own[1].split(",")
            else:
                found[line] = None
    return list(found)


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements(Path("pyproject.toml"), sys.argv[1])) + "\n")
