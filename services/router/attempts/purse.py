"""What policy last said is left of a caller's budget, for conditions that look at it."""

from collections import OrderedDict

from services.router.choosing.request import UNBOUNDED_USD

CALLERS_MAX = 10_000
NANO = 1e9


class Purse:
    """By transaction token, which names the run and its accounts. The longest unseen are forgotten first."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, float] = OrderedDict()

    def told(self, token: str, remaining_nano: int) -> None:
        """`remaining_nano` of a decision; below 0 there is no limit."""
        if not token or remaining_nano < 0:
            return
        self._left[token] = remaining_nano / NANO
        self._left.move_to_end(token)
        if len(self._left) > CALLERS_MAX:
            self._left.popitem(last=False)

    def left_usd(self, token: str) -> float:
        """UNBOUNDED_USD where nothing is known, or nothing limits."""
        return self._left.get(token, UNBOUNDED_USD)
