"""What a caller may know of who answered, why, what it cost and how long it took, as headers of the answer. Pure."""

import re
from collections.abc import Mapping

from penstock.contracts.llm import Loss, Served

LOSSES_MAX_CHARACTERS = 4096
"""Clients take 8 to 16 KiB of headers in all."""
REASON_MAX_CHARACTERS = 256

_NOT_PLAIN = re.compile(r"[^\x20-\x7e]")
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


def known(served: Served) -> dict[str, str]:
    """What is sure before the first byte of the answer: what was lost on the way is among it."""
    fields = {
        "x-penstock-attempt": served.attempt,
        "x-penstock-decision": served.decision,
        "x-penstock-deployment": served.deployment,
        "x-penstock-reason": served.reason[:REASON_MAX_CHARACTERS],
        "x-penstock-cached": served.cached,
        "x-penstock-losses": losses(served.losses),
    }
    return {name: plain(value) for name, value in fields.items() if value}


def used(served: Served) -> dict[str, str]:
    """What is known when the answer is over."""
    fields = {"x-penstock-tokens": str(served.usage.total)}
    if served.cost_nano >= 0:
        fields["x-penstock-cost-usd"] = f"{served.cost_nano / 1e9:.9f}"
    return fields


def timing(served: Served, total_ms: float) -> dict[str, str]:
    """`Server-Timing` (W3C): all of it, the wait for the provider, and what each component of ours took. `edge` is what
    is left: the edge itself, the bus, and the client that sent its body."""
    parts = {name: took for name, took in served.overhead_ms.items() if _TOKEN.match(name)}
    rest = total_ms - served.upstream_ms - sum(parts.values())
    shown = {"total": total_ms, "upstream": served.upstream_ms, **parts, "edge": max(rest, 0.0)}
    return {"server-timing": ", ".join(f"{name};dur={took:.2f}" for name, took in shown.items())}


def losses(found: tuple[Loss, ...]) -> str:
    """A list in structured fields (RFC 9651): `"user";what="not passed on", "tools.0";what="...";grave`. What does not
    fit is counted: `"";more=12`."""
    items: list[str] = []
    left = LOSSES_MAX_CHARACTERS
    for index, loss in enumerate(found):
        item = f"{_quoted(loss.field)};what={_quoted(loss.what)}{';grave' if loss.grave else ''}"
        left -= len(item) + 2
        if left < 0:
            items.append(f'"";more={len(found) - index}')
            break
        items.append(item)
    return ", ".join(items)


def comment(fields: Mapping[str, str]) -> bytes:
    """The same, inside of an event stream whose head is gone: lines that no client takes for data."""
    return b"".join(b": %b: %b\n" % (name.encode(), value.encode()) for name, value in fields.items()) + b"\n"


def plain(text: str) -> str:
    """What may stand in a header."""
    return _NOT_PLAIN.sub("?", text)


def _quoted(text: str) -> str:
    return '"' + plain(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
