"""How often somebody may be wrong. Pure: time is an argument, and what it remembers is bounded."""

from collections import OrderedDict, deque


class Guesses:
    """After `wrong_max` wrong tries within `window_s` nothing of the same guesser is looked at until some are older.

    At most `guessers_max` are remembered, those that were wrong last.
    """

    def __init__(self, wrong_max: int, window_s: float, guessers_max: int = 10_000) -> None:
        self._wrong_max = wrong_max
        self._window_s = window_s
        self._guessers_max = guessers_max
        self._wrong: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def shut_out(self, guesser: tuple[str, str], now: float) -> bool:
        """Whether this guesser was wrong too often lately."""
        times = self._wrong.get(guesser)
        if times is None:
            return False
        while times and times[0] <= now - self._window_s:
            times.popleft()
        if not times:
            del self._wrong[guesser]
        return len(times) >= self._wrong_max

    def wrong(self, guesser: tuple[str, str], now: float) -> None:
        """It was wrong once more."""
        times = self._wrong.setdefault(guesser, deque(maxlen=self._wrong_max))
        times.append(now)
        self._wrong.move_to_end(guesser)
        if len(self._wrong) > self._guessers_max:
            self._wrong.popitem(last=False)
