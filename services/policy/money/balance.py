"""What an account has left, and until when it lasts. Pure."""

from collections.abc import Iterable, Sequence

from penstock.contracts.policy import Balance
from services.policy.delegation.grants import Remaining
from services.policy.money.holds import Standing
from services.policy.money.limits import Pot
from services.policy.money.periods import bounds, period_of


def balance(pot: Pot, standing: Standing, now: float) -> Balance:
    """As it is shown to those who ask."""
    has = standing.balance
    begins, ends = bounds(pot.window)
    return Balance(
        account=pot.name,
        committed_nano=has.nano,
        reserved_nano=has.held_nano,
        limit_nano=max(0, pot.limit_nano),
        tokens=has.tokens + has.held_tokens,
        period=period_of(pot.window),
        begins=begins,
        ends=ends if pot.window else 0.0,
        reserved_tokens=has.held_tokens,
        limit_tokens=max(0, pot.limit_tokens),
        requests=has.requests + has.held_requests,
        limit_requests=max(0, pot.limit_requests),
        under_way=has.held_slots,
        limit_concurrency=max(0, pot.limit_slots),
        empty_at=round(empty_at(pot, standing, now), 3),
    )


def empty_at(pot: Pot, standing: Standing, now: float) -> float:
    """When the first of the pot's limits is reached at the rate of this window so far (of a pot without one: since it
    was first used). 0 when that is not within the window, or nothing was used."""
    begins, ends = bounds(pot.window)
    since = begins if pot.window else standing.since
    has = standing.balance
    used = (has.nano + has.held_nano, has.tokens + has.held_tokens, has.requests + has.held_requests)
    found = [
        _reached(limit, amount, since, now) for limit, amount in zip(pot.limits[:3], used, strict=True) if limit >= 0
    ]
    at = min(found, default=float("inf"))
    return at if at < ends else 0.0


def remaining(pots: Sequence[Pot], standings: Iterable[Standing]) -> Remaining:
    """What the narrowest of the pots has left."""
    nano: list[int] = []
    tokens: list[int] = []
    for pot, standing in zip(pots, standings, strict=True):
        has = standing.balance
        if pot.limit_nano >= 0:
            nano.append(pot.limit_nano - has.nano - has.held_nano)
        if pot.limit_tokens >= 0:
            tokens.append(pot.limit_tokens - has.tokens - has.held_tokens)
    return Remaining(max(0, min(nano)) if nano else -1, max(0, min(tokens)) if tokens else -1)


def _reached(limit: int, used: int, since: float, now: float) -> float:
    if used >= limit:
        return now
    past = now - since
    if used <= 0 or past <= 0 or not since:
        return float("inf")
    return now + (limit - used) * past / used
