"""python alone.py MISSING MODULE: runs a module as if the packages MISSING were not installed.

MISSING: names of top-level packages, separated by commas: so that what a service's own extra leaves out is missed here,
where everything is installed.
"""

import importlib.abc
import importlib.machinery
import runpy
import sys
from collections.abc import Sequence
from types import ModuleType


class Without(importlib.abc.MetaPathFinder):
    """Raises ModuleNotFoundError for these packages and what is in them."""

    def __init__(self, missing: set[str]) -> None:
        self._missing = missing

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in self._missing:
            raise ModuleNotFoundError(f"No module named {fullname!r} (not in the service's extra)", name=fullname)
        return None


if __name__ == "__main__":
    sys.meta_path.insert(0, Without(set(sys.argv[1].split(","))))
    runpy.run_module(sys.argv[2], run_name="__main__", alter_sys=True)
