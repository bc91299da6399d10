"""How many messages a minute each of many senders may hand in (a token bucket each). The time is an argument."""

MINUTE_S = 60.0
SENDERS_MAX = 4096
"""So many are looked through for those that have been quiet for a minute, and are forgotten."""


class Pace:
    """Each may hand in `per_minute` at once, and as many more as time has passed for; 0: as many as they like."""

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._left: dict[str, tuple[float, float]] = {}

    def wait_s(self, sender: str, now: float) -> float:
        """0 for one more, which is counted; or after how many seconds there will be room for it."""
        if not self._most:
            return 0.0
        left = self._now(sender, now)
        if left < 1.0:
            return (1.0 - left) * MINUTE_S / self._most
        if len(self._left) >= SENDERS_MAX and sender not in self._left:
            self._left = {name: was for name, was in self._left.items() if now - was[1] < MINUTE_S}
        self._left[sender] = (left - 1.0, now)
        return 0.0

    def _now(self, sender: str, now: float) -> float:
        left, since = self._left.get(sender, (self._most, now))
        return min(self._most, left + (now - since) * self._most / MINUTE_S)
