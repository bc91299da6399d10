"""What a caller has left of their budget, for conditions that look at it: asked once, and then as policy last said."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from penstock.contracts.errors import Failure
from penstock.contracts.meta import Meta
from penstock.contracts.policy import Balances
from services.router.choosing.request import UNBOUNDED_USD

CALLERS_MAX = 10_000
NANO = 1e9

Ask = Callable[[Meta], Awaitable[Balances]]
"""The balances of who sent a message, from policy."""


class Purse:
    """By transaction token, which names the run and its accounts. The longest unseen are forgotten first."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._left: OrderedDict[str, float] = OrderedDict()

    def told(self, token: str, remaining_nano: int) -> None:
        """`remaining_nano` of a decision; below 0 there is no limit."""
        if token and remaining_nano >= 0:
            self._put(token, remaining_nano / NANO)

    async def left_usd(self, meta: Meta) -> float:
        """UNBOUNDED_USD where nothing limits, and where policy does not say: the decision comes all the same."""
        known = self._left.get(meta.token)
        if known is not None:
            return known
        try:
            balances = await self._ask(meta)
        except Failure:
            return UNBOUNDED_USD
        left = [one.limit_nano - one.committed_nano - one.reserved_nano for one in balances.accounts if one.limit_nano]
        usd = max(0, min(left)) / NANO if left else UNBOUNDED_USD
        self._put(meta.token, usd)
        return usd

    def _put(self, token: str, usd: float) -> None:
        self._left[token] = usd
        self._left.move_to_end(token)
        if len(self._left) > CALLERS_MAX:
            self._left.popitem(last=False)
