"""Periods of limits: fixed windows aligned to UTC, each with a name that says when it begins and ends. Pure.

Fixed, since then a balance is a fold of the audit stream and of nothing else, whatever the clocks did
(docs/decisions/0015-fixed-windows.md).
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal

Period = Literal["total", "minute", "hour", "day", "week", "month"]

HOUR_S = 3600
DAY_S = 24 * HOUR_S
KEPT_AFTER_END_S = {"minute": 2 * HOUR_S, "hour": DAY_S, "day": 8 * DAY_S, "week": 8 * DAY_S, "month": 8 * DAY_S}
"""For how long an outcome that comes late is still counted in the window that it was reserved in."""
RUN_KEPT_S = 30 * DAY_S
_FORMS: dict[Period, str] = {
    "minute": "%Y-%m-%dT%H:%M",
    "hour": "%Y-%m-%dT%H",
    "day": "%Y-%m-%d",
    "week": "%G-W%V",
    "month": "%Y-%m",
}
_BY_LENGTH: dict[int, Period] = {0: "total", 16: "minute", 13: "hour", 10: "day", 8: "week", 7: "month"}


def window_at(period: Period, now: float) -> str:
    """The name of the window that `now` (Unix seconds) lies in: 2026-11-24T12:07, 2026-11-24, 2026-W48 …"""
    return _window(period, int(now // 60)) if period != "total" else ""


def period_of(window: str) -> Period:
    """The period that a window's name is of."""
    return _BY_LENGTH[len(window)]


@lru_cache(maxsize=4096)
def bounds(window: str) -> tuple[float, float]:
    """Unix seconds when a window begins and ends; of the total, 0 and infinity."""
    match period_of(window):
        case "total":
            return 0.0, float("inf")
        case "week":
            begins = datetime.strptime(f"{window}-1", "%G-W%V-%u").replace(tzinfo=UTC)
            ends = begins + timedelta(weeks=1)
        case "month":
            begins = datetime.strptime(window, "%Y-%m").replace(tzinfo=UTC)
            ends = (begins + timedelta(days=32)).replace(day=1)
        case period:
            begins = datetime.strptime(window, _FORMS[period]).replace(tzinfo=UTC)
            ends = begins + timedelta(**{f"{period}s": 1})
    return begins.timestamp(), ends.timestamp()


def kept_until(account: str, window: str, now: float) -> int:
    """Until when a late settlement may still come for this pot; 0: it is never forgotten."""
    if window:
        return int(bounds(window)[1]) + KEPT_AFTER_END_S[period_of(window)]
    return int(now) + RUN_KEPT_S if account.startswith("run:") else 0


def split_pot(name: str) -> tuple[str, str]:
    """Account and window of a pot's name."""
    account, mark, window = name.rpartition("@")
    return (account, window) if mark and window[:4].isdigit() and len(window) in _BY_LENGTH else (name, "")


@lru_cache(maxsize=64)
def _window(period: Period, minute: int) -> str:
    return datetime.fromtimestamp(minute * 60, UTC).strftime(_FORMS[period])
