"""What was used in the last minute: the window under way, and the share of the one before that still counts. Pure."""

import msgspec

MINUTE_S = 60.0


class Minute(msgspec.Struct, frozen=True):
    """`began`: when the window under way did, in the caller's clock."""

    began: float = 0.0
    requests: float = 0.0
    tokens: float = 0.0
    requests_before: float = 0.0
    tokens_before: float = 0.0


EMPTY = Minute()


def counted(minute: Minute, requests: float, tokens: float, now: float) -> Minute:
    """So much more; less, for an estimate that was too high, but never below nothing."""
    minute = _moved(minute, now)
    return msgspec.structs.replace(
        minute, requests=max(minute.requests + requests, 0.0), tokens=max(minute.tokens + tokens, 0.0)
    )


def used(minute: Minute, now: float) -> tuple[float, float]:
    """Requests and tokens of the last 60 s."""
    minute = _moved(minute, now)
    share = 1.0 - min(max(now - minute.began, 0.0) / MINUTE_S, 1.0)
    return minute.requests + minute.requests_before * share, minute.tokens + minute.tokens_before * share


def left_s(minute: Minute, now: float) -> float:
    """Until the window under way is over."""
    return MINUTE_S - (now - _moved(minute, now).began)


def _moved(minute: Minute, now: float) -> Minute:
    passed = now - minute.began
    if passed < MINUTE_S:
        return minute
    if passed < 2 * MINUTE_S:
        return Minute(minute.began + MINUTE_S, 0.0, 0.0, minute.requests, minute.tokens)
    return Minute(now)
