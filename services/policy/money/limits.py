"""Limits on accounts, as an operator writes them, and the pots they make at a given time. Pure.

A pot is one account in one period: `tenant:acme@2026-11` is what Acme may use in November.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache

import msgspec

from services.policy.money.periods import Period, kept_until, window_at

AccountLimit = tuple[str, int, int]
"""As in a token: account, nano-dollars, tokens; 0 is without a limit of the token's own."""

NANO = 10**9
AMOUNT_MAX = 2**53 - 1
"""Largest exact integer of the store's scripts: about nine million dollars."""
NO_LIMIT = -1
MEASURES = ("nano", "tokens", "requests", "slots")
"""What a pot counts. `slots` are actions under way; the others add up."""
KINDS = ("tenant", "team", "user", "workload", "agent", "key", "run")


class LimitsRefused(Exception):
    """A limits file that cannot be used; the sentence says what to write."""

    def __init__(self, detail: str) -> None:
        self.detail = detail
        super().__init__(detail)


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One limit, for one period by UTC. `concurrency`: actions under way at once, which no period is for."""

    usd: float | str | None = None
    tokens: int | None = None
    period: Period = "total"
    requests: int | None = None
    concurrency: int | None = None

    @property
    def nano(self) -> int:
        """Nano-dollars, NO_LIMIT when there is none. Raises LimitsRefused."""
        return NO_LIMIT if self.usd is None else to_nano(self.usd)


class Pot(msgspec.Struct, frozen=True):
    """One account in one period. Limits are NO_LIMIT where there is none; `kept_until`: Unix seconds when the store may
    forget it, 0 for never."""

    account: str
    window: str
    limit_nano: int
    limit_tokens: int
    kept_until: int = 0
    limit_requests: int = NO_LIMIT
    limit_slots: int = NO_LIMIT

    @property
    def name(self) -> str:
        return f"{self.account}@{self.window}" if self.window else self.account

    @property
    def limits(self) -> tuple[int, int, int, int]:
        """In the order of MEASURES."""
        return self.limit_nano, self.limit_tokens, self.limit_requests, self.limit_slots

    @property
    def counts_actions(self) -> bool:
        """Whether an action counts here though it costs nothing."""
        return self.limit_requests >= 0 or self.limit_slots >= 0


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
    """The pots that hold for these accounts now, widest account first, each once.

    `standing` are the limits of the files, by account; an account's own limit in the token (a run's) comes after, and
    of two limits for the same pot the lower holds.
    """
    made: dict[tuple[str, str], Pot] = {}
    for account, nano, tokens in accounts:
        for limit in standing.get(account, ()):
            window = window_at(limit.period, now)
            _add(made, _pot(account, window, limit, now))
        if nano or tokens:
            _add(made, Pot(account, "", _or_none(nano), _or_none(tokens), kept_until(account, "", now)))
    return list(made.values())


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
    if kind not in KINDS or not colon or not name or " " in name or "@2" in name:
        raise LimitsRefused(
            f"{tenant}: {account!r} is not an account. Write <kind>:<name> or <kind>:*, kind one of {', '.join(KINDS)}"
        )
    if name != "*" and (tenant == "*" or (kind == "tenant" and name != tenant)):
        right = f"{kind}:* here, or {account} under its tenant" if tenant == "*" else f"it under {name}"
        raise LimitsRefused(f"{tenant}: {account} can match nothing. Write {right}")
    periods: set[str] = set()
    for one in limits:
        check_limit(f"{tenant}: {account}", one)
        if kind == "run" and one.period != "total":
            raise LimitsRefused(f"{tenant}: {account} is limited as a whole. Write no period")
        if one.period in periods:
            raise LimitsRefused(f"{tenant}: {account} has two limits for the period {one.period}. Write one")
        periods.add(one.period)
    return limits


def check_limit(where: str, limit: Limit) -> None:
    """Raises LimitsRefused for a limit that limits nothing or is out of range."""
    counts = {"tokens": limit.tokens, "requests": limit.requests, "concurrency": limit.concurrency}
    if limit.usd is None and all(count is None for count in counts.values()):
        raise LimitsRefused(f"{where} limits nothing. Write usd, tokens, requests or concurrency")
    try:
        _ = limit.nano
    except LimitsRefused as refused:
        raise LimitsRefused(f"{where}: {refused.detail}") from refused
    for name, count in counts.items():
        if count is not None and not 0 < count <= AMOUNT_MAX:
            raise LimitsRefused(f"{where}: {name}: {count} is out of range. Write more than 0")
    if limit.concurrency is not None and limit.period != "total":
        raise LimitsRefused(f"{where}: concurrency is at any time, not in a {limit.period}. Write an entry of its own")


def _add(made: dict[tuple[str, str], Pot], pot: Pot) -> None:
    place = (pot.account, pot.window)
    known = made.get(place)
    if known is not None:
        pot = Pot(
            pot.account,
            pot.window,
            _lower(known.limit_nano, pot.limit_nano),
            _lower(known.limit_tokens, pot.limit_tokens),
            pot.kept_until,
            _lower(known.limit_requests, pot.limit_requests),
            _lower(known.limit_slots, pot.limit_slots),
        )
    made[place] = pot


def _pot(account: str, window: str, limit: Limit, now: float) -> Pot:
    return Pot(
        account,
        window,
        limit.nano,
        _or_none(limit.tokens or 0),
        kept_until(account, window, now),
        _or_none(limit.requests or 0),
        _or_none(limit.concurrency or 0),
    )


def _lower(one: int, other: int) -> int:
    return max(one, other) if min(one, other) < 0 else min(one, other)


def _or_none(amount: int) -> int:
    return amount if amount > 0 else NO_LIMIT
