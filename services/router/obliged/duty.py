"""What one attempt is obliged to, and what was done for it."""

from penstock.kit.obligations import NONE, TRANSFORMS, Obligations
from penstock.kit.transform import Transform

HONOURED = TRANSFORMS | {"cap", "pin"}
"""What the router can do. It has no rows and no arguments to set."""


class Duty:
    """`transform` is None where no text changes; `texts`: the obligations as they were written, sorted."""

    __slots__ = ("_done", "cap", "pin", "texts", "transform")

    def __init__(self, obligations: Obligations = NONE) -> None:
        """Raises Failure(DENIED) for something that cannot be looked for."""
        self.cap = obligations.cap
        self.pin = obligations.pin
        self.texts = obligations.texts
        self._done = {"cap": 1} if obligations.cap else {}
        self._done |= {"pin": 1} if obligations.pin else {}
        screens = obligations.redact_input or obligations.redact_output or obligations.pseudonymise
        self.transform = Transform(obligations) if screens else None

    def capped(self, most: int) -> int:
        """Output tokens at most, 0 for no limit, of a deployment that gives `most`."""
        return min(self.cap, most) if self.cap and most else self.cap or most

    @property
    def applied(self) -> dict[str, int]:
        """For the outcome record."""
        counts = self.transform.counts if self.transform is not None else {}
        return {**counts, **self._done}


FREE = Duty()
"""Before anything is decided."""
