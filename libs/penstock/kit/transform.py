"""Texts as a permit's obligations let them pass: redacted on their way out and back, and placeholders in between."""

import secrets
from collections import Counter
from collections.abc import Mapping

from penstock.contracts.errors import Code, Failure
from penstock.guard import Pseudonyms, RestoreStream, StreamScreen, UnknownEntity, chosen, redact
from penstock.kit.obligations import Obligations


class Transform:
    """One attempt, with its placeholders. Where a value must be redacted and might be pseudonymised it is redacted.

    `counts`: what was done so far, by name.
    """

    def __init__(self, obligations: Obligations) -> None:
        """Raises Failure(DENIED) for an entity that nobody here can find."""
        try:
            self._hidden = chosen(obligations.redact_input)
            self._aliased = chosen(obligations.pseudonymise) - self._hidden
            self._unshown = chosen(obligations.redact_output)
        except UnknownEntity as unknown:
            raise Failure(Code.DENIED, f"an obligation cannot be carried out: {unknown}") from None
        self._pseudonyms = Pseudonyms(secrets.token_hex(3))
        self._counts: Counter[str] = Counter()

    @property
    def counts(self) -> Mapping[str, int]:
        return dict(self._counts)

    @property
    def outward_needed(self) -> bool:
        """Whether anything on its way out may have to change."""
        return bool(self._hidden or self._aliased)

    @property
    def inward_needed(self) -> bool:
        """Whether anything on its way back may have to change."""
        return bool(self._unshown or self._aliased)

    def outward(self, text: str) -> str:
        """A text that leaves for a model, a tool, a store."""
        if self._hidden:
            text, counts = redact(text, self._hidden)
            self.count("redact_input", counts)
        if self._aliased:
            text, counts = self._pseudonyms.hide(text, self._aliased)
            self.count("pseudonymise", counts)
        return text

    def inward(self, text: str) -> str:
        """A whole text that comes back for the caller."""
        if self._aliased:
            text = self._pseudonyms.restore(text)
        if self._unshown:
            text, counts = redact(text, self._unshown)
            self.count("redact_output", counts)
        return text

    def inward_stream(self) -> "Inward":
        """For a text that comes back in pieces."""
        restore = RestoreStream(self._pseudonyms) if self._aliased else None
        return Inward(self, restore, StreamScreen(self._unshown) if self._unshown else None)

    def count(self, name: str, counts: Mapping[str, int]) -> None:
        """Adds to what was done."""
        for entity, count in counts.items():
            self._counts[f"{name}:{entity}"] += count


class Inward:
    """One text that comes back in pieces: what `feed` and `flush` give, put together, is what Transform.inward gives of
    the whole."""

    __slots__ = ("_restore", "_screen", "_transform")

    def __init__(self, transform: Transform, restore: RestoreStream | None, screen: StreamScreen | None) -> None:
        self._transform = transform
        self._restore = restore
        self._screen = screen

    def feed(self, text: str) -> str:
        """What may be shown by now."""
        if self._restore is not None:
            text = self._restore.feed(text)
        return text if self._screen is None else self._screen.feed(text)

    def flush(self) -> str:
        """The rest: the text is over."""
        rest = "" if self._restore is None else self._restore.flush()
        if self._screen is None:
            return rest
        rest = self._screen.feed(rest) + self._screen.flush()
        self._transform.count("redact_output", self._screen.counts)
        return rest
