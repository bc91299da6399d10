"""Scopes: what a token may be used for at all, before any policy is asked.

A scope is an action's name (`tool.call`), a family of actions (`tool.*`), every action (`*`), or an elevated
right with a colon in it (`tools:destructive`), which nothing but its own name covers.
"""

import re

_SCOPE = re.compile(r"(?:\*|[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*(?:\.\*)?|[a-z][a-z0-9_]*:[a-z0-9_.-]+)\Z")
LENGTH_MAX = 64
COUNT_MAX = 64


class InvalidScope(ValueError):
    """A text that is no scope."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(
            f"{text[:80]!r} is not a scope. Write an action (tool.call), a family (tool.*), * or a right (a:b)"
        )


def scope(text: str) -> str:
    """`text` itself when it is a scope; plain ASCII only, so that no two look the same. Raises InvalidScope."""
    if len(text) > LENGTH_MAX or _SCOPE.match(text) is None:
        raise InvalidScope(text)
    return text


def covers(held: str, wanted: str) -> bool:
    """Whether one who holds `held` may do what `wanted` names: exact, or by a trailing `*` of what is held."""
    if held == wanted:
        return True
    if ":" in wanted or not held.endswith("*"):
        return False
    return held == "*" or wanted.startswith(held[:-1])


def allows(held: tuple[str, ...], wanted: str) -> bool:
    """Whether any of the scopes held covers `wanted`."""
    return any(covers(one, wanted) for one in held)


def narrow(held: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    """What is both held and asked for, never more than held; in the order held. Nothing asked is nothing.

    Asking for `*` is asking for all that is held, elevated rights too; holding `*` gives no elevated right.
    """
    kept: dict[str, None] = {}
    for have in held:
        for want in asked:
            if want == "*" or covers(want, have):
                kept[have] = None
            elif covers(have, want):
                kept[want] = None
    return tuple(kept)


def narrow_names(held: tuple[str, ...], asked: tuple[str, ...]) -> tuple[str, ...]:
    """The same for plain names such as tools, where `*` alone stands for every name."""
    if "*" in asked:
        return held
    if "*" in held:
        return tuple(dict.fromkeys(asked))
    return tuple(name for name in held if name in asked)
