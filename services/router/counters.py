"""Providers that count tokens before a call: where each is asked, and how. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from penstock.contracts.llm import ANTHROPIC_MESSAGES, GEMINI_GENERATE
from services.router.models.deployment import Deployment
from services.router.protocols.anthropic_messages import count as anthropic
from services.router.protocols.gemini_generate import count as gemini
from services.router.providers.address import ANTHROPIC_COUNT, GEMINI_COUNT
from services.router.target import wire_of


@dataclass(frozen=True, slots=True)
class Counter:
    """`wire`: where it is asked. `request` makes a request for an answer one for a count, for a model; `read` is what
    it came to, or raises Fault."""

    wire: str
    request: Callable[[bytes, str], bytes]
    read: Callable[[bytes], int]


COUNTERS: Mapping[str, Counter] = {
    ANTHROPIC_MESSAGES: Counter(ANTHROPIC_COUNT, anthropic.count_request, anthropic.read_count),
    GEMINI_GENERATE: Counter(GEMINI_COUNT, gemini.count_request, gemini.read_count),
}
"""By the protocol in which the answer would be asked for."""
COUNTING = frozenset({"anthropic", "gemini"})
"""Providers of which it is known; others that speak such a protocol may count for callers of that protocol."""


def counts(deployment: Deployment, surface: str) -> bool:
    """Whether it is asked for a count of a request in the protocol `surface`."""
    wire = wire_of(surface, deployment.protocols)
    return wire in COUNTERS and (wire == surface or deployment.provider in COUNTING)
