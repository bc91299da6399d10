"""What a translation could not carry: said to the caller and in the outcome record, or a reason to refuse. Pure."""

from penstock.contracts.llm import Loss

__all__ = ["Loss", "Losses"]

LOSSES_MAX = 100
OF_MEANING = frozenset(
    {
        "cachedContent",
        "container",
        "conversation",
        "mcp_servers",
        "previous_response_id",
        "prompt",
        "thread",
        "web_search_options",
    }
)
"""Top-level fields, of whichever protocol, that stand for history or tools: losing one is grave."""


class Losses:
    """Gathers the losses of one translation, each once, at most LOSSES_MAX of either kind.

    A grave loss changes what the answer means (a schema not kept to, a tool not offered, history not shown): the target
    is no candidate unless the caller said that losses are welcome. Others change how it is said.
    """

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[tuple[str, bool], Loss] = {}

    def note(self, field: str, what: str) -> None:
        """Not carried; the answer means the same."""
        self._add(Loss(field, what))

    def grave(self, field: str, what: str) -> None:
        """Not carried, and it matters."""
        self._add(Loss(field, what, True))

    @property
    def all(self) -> tuple[Loss, ...]:
        """Grave ones first, each kind in the order found."""
        return tuple(sorted(self._seen.values(), key=lambda loss: not loss.grave))

    @property
    def gravest(self) -> Loss | None:
        """The first grave one."""
        return next((loss for loss in self._seen.values() if loss.grave), None)

    def _add(self, loss: Loss) -> None:
        if sum(seen.grave is loss.grave for seen in self._seen.values()) < LOSSES_MAX:
            self._seen.setdefault((loss.field, loss.grave), loss)
