"""Reasons to stop, in this wire's words and in ours. Pure.

Lesson of other gateways: the provider's word is not believed where it contradicts the answer. An agent that is told
`stop` beside a tool call stops for good.
"""

from services.router.fault import Fault, FaultKind
from services.router.protocols.answer import Finish

_READ = {
    "length": Finish.LENGTH,
    "max_tokens": Finish.LENGTH,
    "content_filter": Finish.FILTERED,
}
_BROKEN = frozenset({"error", "abort", "insufficient_system_resource", "network_error"})
_WRITTEN = {
    Finish.STOP: "stop",
    Finish.STOP_SEQUENCE: "stop",
    Finish.LENGTH: "length",
    Finish.TOOLS: "stop",
    Finish.FILTERED: "content_filter",
    Finish.REFUSED: "content_filter",
    Finish.PAUSED: "stop",
    Finish.CONTEXT: "length",
}
_CUT = frozenset({Finish.LENGTH, Finish.FILTERED, Finish.REFUSED, Finish.CONTEXT})
"""An answer that was cut off: its last call may be half a call, and is not to be carried out."""


def read_finish(word: str, *, called: bool) -> Finish:
    """Raises Fault where the word says that the provider broke off."""
    if word in _BROKEN:
        raise Fault(FaultKind.TRANSIENT, "the provider broke the answer off", sent=True)
    found = _READ.get(word, Finish.STOP)
    return Finish.TOOLS if called and found is Finish.STOP else found


def write_finish(finish: Finish, *, called: bool) -> str:
    """`tool_calls` if and only if there are calls to carry out."""
    return "tool_calls" if called and finish not in _CUT else _WRITTEN[finish]
