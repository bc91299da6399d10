"""Decisions given lately, so that the same attempt asked twice gets the same one. Bounded; the oldest are forgotten."""

from collections import OrderedDict

from penstock.contracts.errors import Code, Failure
from penstock.contracts.policy import Decision


class Remembered:
    """Per tenant and attempt: the digest of the question, and the decision (None: the attempt is over)."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._given: OrderedDict[tuple[str, str], tuple[str, Decision | None]] = OrderedDict()

    def get(self, tenant: str, attempt: str, digest: str) -> Decision | None:
        """The decision given before, None for a new attempt. Raises Failure(CONFLICT)."""
        found = self._given.get((tenant, attempt))
        if found is None:
            return None
        if found[0] != digest:
            raise Failure(Code.CONFLICT, "this attempt stands for another question: ask with a new attempt id")
        if found[1] is None:
            raise over()
        return found[1]

    def put(self, tenant: str, attempt: str, digest: str, decision: Decision | None) -> None:
        self._given[tenant, attempt] = (digest, decision)
        if len(self._given) > self._most:
            self._given.popitem(last=False)


def over() -> Failure:
    return Failure(Code.CONFLICT, "this attempt is over: ask with a new attempt id")
