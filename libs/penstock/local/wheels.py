"""Servers and models that lie in installed wheels: found without running the code around them."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

PLANE = "pip install 'penstock[plane]'"


class WheelMissing(Exception):
    """No installed package has it; `install` is what to write."""

    def __init__(self, what: str, install: str = PLANE) -> None:
        self.what = what
        self.install = install
        super().__init__(f"{what} is not installed. Write: {install}")


def file_in_wheel(package: str, pattern: str, install: str = PLANE) -> Path:
    """The first file below the package's folder that fits the glob pattern."""
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob(pattern)):
            return path
    raise WheelMissing(f"{package}/{pattern}", install)


def require(packages: Sequence[str]) -> None:
    for package in packages:
        if find_spec(package) is None:
            raise WheelMissing(package)
