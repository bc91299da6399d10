"""What an attempt costs, in integer nano-dollars (10^-9 USD). Pure."""

from decimal import ROUND_HALF_UP, Decimal

import msgspec

from penstock.contracts.llm import Usage
from penstock.contracts.policy import Reserve

UNKNOWN = -1
"""The price is not known: an explicit state, never zero."""
NANO = 1_000_000_000
MILLION = 1_000_000


class Rates(msgspec.Struct, frozen=True):
    """Nano-dollars per million tokens, so that any listed price is an integer. `above`: a prompt of more than `start`
    tokens pays its rates for every token (the providers' long-context price), lowest start first."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    above: tuple["Tier", ...] = ()


class Tier(msgspec.Struct, frozen=True):
    """The rates of a prompt longer than `start` tokens."""

    start: int
    rates: Rates


FREE = Rates(0, 0, 0, 0)


def nano_per_million(usd: Decimal) -> int:
    """A price in dollars per million tokens as an integer."""
    return int((usd * NANO).to_integral_value(ROUND_HALF_UP))


def cost(usage: Usage, rates: Rates | None) -> int:
    """Rounded up to a whole nano-dollar; UNKNOWN when the price is."""
    if rates is None:
        return UNKNOWN
    rates = _for_prompt(rates, usage.input)
    total = (
        usage.uncached * rates.input
        + usage.cache_read * rates.cache_read
        + usage.cache_write * rates.cache_write
        + usage.output * rates.output
    )
    return -(-total // MILLION)


def worst_case(input_tokens: int, output_tokens: int, rates: Rates | None) -> Reserve:
    """What must be set aside before the call: the whole input at its dearest rate, and the longest output."""
    tokens = input_tokens + output_tokens
    if rates is None:
        return Reserve(UNKNOWN, tokens)
    rates = _for_prompt(rates, input_tokens)
    total = input_tokens * max(rates.input, rates.cache_write) + output_tokens * rates.output
    return Reserve(-(-total // MILLION), tokens)


def _for_prompt(rates: Rates, input_tokens: int) -> Rates:
    for tier in reversed(rates.above):
        if input_tokens > tier.start:
            return tier.rates
    return rates
