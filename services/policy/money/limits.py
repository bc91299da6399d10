"""Limits on accounts, as an operator writes them, and the pots of money they make at a given time. Pure.

A pot is one account in one period: `tenant:acme@2026-11` is what Acme may use in November.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Literal

import msgspec

Period = Literal["total", "day", "month"]
AccountLimit = tuple[str, int, int]
"""As in a token: account, nano-dollars, tokens; 0 is without a limit of the token's own."""

NANO = 10**9
AMOUNT_MAX = 2**53 - 1
"""Largest exact integer of the store's scripts: about nine million dollars."""
NO_LIMIT = -1
KEPT_AFTER_END_S = 8 * 24 * 3600
RUN_KEPT_S = 30 * 24 * 3600
_KINDS = ("tenant", "team", "user", "workload", "key")


class LimitsRefused(Exception):
    """A limits file that cannot be used; the sentence says what to write."""

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail)


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One limit: dollars, tokens or both, for one period (UTC days and months)."""

    usd: float | str | None = None
    tokens: int | None = None
    period: Period = "total"

    @property
    def nano(self) -> int:
        """Nano-dollars, NO_LIMIT when there is none. Raises LimitsRefused."""
        return NO_LIMIT if self.usd is None else to_nano(self.usd)


class Pot(msgspec.Struct, frozen=True):
    """One account in one period. `kept_until`: Unix seconds when the store may forget it, 0 for never."""

    account: str
    window: str
    limit_nano: int
    limit_tokens: int
    kept_until: int = 0

    @property
    def name(self) -> str:
        return f"{self.account}@{self.window}" if self.window else self.account


Entries = dict[str, Limit | list[Limit]]


class Limits:
    """Limits by tenant and account: `{acme: {"tenant:acme": {...}, "user:*": [...]}, "*": {"tenant:*": ...}}`.

    The first that is found holds: the account by name, its kind in this tenant, its kind in every tenant.
    """

    def __init__(self, tenants: Mapping[str, Mapping[str, tuple[Limit, ...]]] | None = None) -> None:
        self._tenants = dict(tenants or {})

    def of(self, tenant: str, account: str) -> tuple[Limit, ...]:
        """What holds for this account of this tenant."""
        everyone = account.partition(":")[0] + ":*"
        own = self._tenants.get(tenant, {})
        return own.get(account) or own.get(everyone) or self._tenants.get("*", {}).get(everyone, ())


def parse_limits(text: str) -> Limits:
    """Reads accounts.yaml. Raises LimitsRefused."""
    try:
        found = msgspec.yaml.decode(text.encode(), type=dict[str, Entries] | None)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise LimitsRefused(f"the limits cannot be read: {error}") from error
    return Limits({tenant: _entries(tenant, entries) for tenant, entries in (found or {}).items()})


def pots(
    accounts: Sequence[AccountLimit],
    standing: Mapping[str, tuple[Limit, ...]],
    now: float,
) -> list[Pot]:
    """The pots that hold for these accounts now, widest account first.

    `standing` are the limits of the files, by account; an account's own limit in the token (a run's) comes after.
    """
    made: list[Pot] = []
    for account, nano, tokens in accounts:
        for limit in standing.get(account, ()):
            window = window_at(limit.period, now)
            made.append(Pot(account, window, limit.nano, _or_none(limit.tokens or 0), kept_until(account, window, now)))
        if nano or tokens:
            made.append(Pot(account, "", _or_none(nano), _or_none(tokens), kept_until(account, "", now)))
    return made


def window_at(period: Period, now: float) -> str:
    """The name of the period that `now` (Unix seconds) lies in, in UTC."""
    if period == "total":
        return ""
    day = datetime.fromtimestamp(now, UTC)
    return day.strftime("%Y-%m-%d" if period == "day" else "%Y-%m")


def kept_until(account: str, window: str, now: float) -> int:
    """Until when a late settlement may still come for this pot; 0: it is never forgotten."""
    if window:
        return int(_window_end(window)) + KEPT_AFTER_END_S
    return int(now) + RUN_KEPT_S if account.startswith("run:") else 0


def split_pot(name: str) -> tuple[str, str]:
    """Account and window of a pot's name."""
    account, mark, window = name.rpartition("@")
    return (account, window) if mark and window[:4].isdigit() else (name, "")


@lru_cache(maxsize=4096)
def to_nano(usd: float | str) -> int:
    """Dollars, as a person writes them, in nano-dollars, rounded down. Raises LimitsRefused."""
    try:
        nano = int(Decimal(str(usd)) * NANO)
    except (InvalidOperation, ValueError, OverflowError):
        raise LimitsRefused(f"usd: {usd!r} is not an amount. Write a number such as 12.50") from None
    if not 0 < nano <= AMOUNT_MAX:
        raise LimitsRefused(f"usd: {usd} is out of range. Write more than 0 and less than 9000000")
    return nano


def dollars(nano: int) -> str:
    """As a person reads it, exact: $0.0000007."""
    whole, cents, rest = nano // NANO, nano % NANO // 10**7, nano % 10**7
    return f"${whole}.{cents:02d}" + (f"{rest:07d}".rstrip("0") if rest else "")


def _entries(tenant: str, entries: Entries) -> dict[str, tuple[Limit, ...]]:
    return {account: _checked(tenant, account, limit) for account, limit in entries.items()}


def _checked(tenant: str, account: str, limit: Limit | list[Limit]) -> tuple[Limit, ...]:
    limits = (limit,) if isinstance(limit, Limit) else tuple(limit)
    kind, colon, name = account.partition(":")
    if kind not in _KINDS or not colon or not name or " " in name or "@2" in name:
        raise LimitsRefused(
            f"{tenant}: {account!r} is not an account. Write <kind>:<name> or <kind>:*, kind one of {', '.join(_KINDS)}"
        )
    if name != "*" and (tenant == "*" or (kind == "tenant" and name != tenant)):
        right = f"{kind}:* here, or {account} under its tenant" if tenant == "*" else f"it under {name}"
        raise LimitsRefused(f"{tenant}: {account} can match nothing. Write {right}")
    periods: set[str] = set()
    for one in limits:
        check_limit(f"{tenant}: {account}", one)
        if one.period in periods:
            raise LimitsRefused(f"{tenant}: {account} has two limits for the period {one.period}. Write one")
        periods.add(one.period)
    return limits


def check_limit(where: str, limit: Limit) -> None:
    """Raises LimitsRefused for a limit that limits nothing or is out of range."""
    if limit.usd is None and limit.tokens is None:
        raise LimitsRefused(f"{where} limits nothing. Write usd, tokens or both")
    try:
        _ = limit.nano
    except LimitsRefused as refused:
        raise LimitsRefused(f"{where}: {refused.detail}") from refused
    if limit.tokens is not None and not 0 < limit.tokens <= AMOUNT_MAX:
        raise LimitsRefused(f"{where}: tokens: {limit.tokens} is out of range. Write more than 0")


def _or_none(amount: int) -> int:
    return amount if amount > 0 else NO_LIMIT


def _window_end(window: str) -> float:
    if len(window) == 10:
        return (datetime.strptime(window, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)).timestamp()
    first = datetime.strptime(window, "%Y-%m").replace(tzinfo=UTC)
    return (first + timedelta(days=32)).replace(day=1).timestamp()
