"""Other detectors: a package brings one under the entry-point group `penstock.detectors`.

An entry point is a callable without arguments that makes one. penstock.kit.detecting runs them.
"""

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Protocol, runtime_checkable

from penstock.guard.finding import Finding

GROUP = "penstock.detectors"


@runtime_checkable
class Detector(Protocol):
    """Finds what rules cannot: names, places. It may be slow: it runs in a thread of its own, under a limit of time."""

    @property
    def entities(self) -> frozenset[str]:
        """The names that its findings have."""
        ...

    def find(self, text: str) -> Sequence[Finding]:
        """Findings in this text. May be called from several threads at once."""
        ...


class UnknownDetector(ValueError):
    """A name under which no package brings a detector; the sentence lists those that are there."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        there = ", ".join(known) or "none is installed"
        super().__init__(f"no detector {name[:40]!r} in the entry points {GROUP}: {there}")
        self.name = name


def installed(names: Sequence[str]) -> tuple[Detector, ...]:
    """The detectors of these names, made. Raises UnknownDetector, and ImportError where one lacks what it needs."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    made = []
    for name in names:
        if name not in found:
            raise UnknownDetector(name, sorted(found))
        detector = found[name].load()()
        if not isinstance(detector, Detector):
            raise UnknownDetector(name, sorted(set(found) - {name}))
        made.append(detector)
    return tuple(made)
