"""Other detectors: a package brings one under the entry-point group `penstock.detectors`."""

from collections.abc import Sequence
from typing import Protocol

from penstock.guard.finding import Finding

GROUP = "penstock.detectors"


class Detector(Protocol):
    """Finds what rules cannot: names, places. It may be slow: it runs in a thread of its own, under a limit of time."""

    @property
    def entities(self) -> frozenset[str]:
        """The names that its findings have."""
        ...

    def find(self, text: str) -> Sequence[Finding]:
        """Findings in this text. May be called from several threads at once."""
        ...
