"""How a refusal for want of a scope is worded, so that the edge can tell its client which scope to ask for."""

from collections.abc import Iterable

_WANTED = "the token's scopes do not include "


def wanting(scope: str) -> str:
    """The reason that policy gives."""
    return _WANTED + scope


def wanted(reasons: Iterable[str]) -> tuple[str, ...]:
    """The scopes that these reasons ask for."""
    return tuple(reason.removeprefix(_WANTED) for reason in reasons if reason.startswith(_WANTED))
