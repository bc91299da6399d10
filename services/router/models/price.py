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
    tokens pays its rates for every token (the providers' long-context price), lowest start first. A rate that is None
    is that of the plain tokens of its kind: `cache_write`, `input`, `output`."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    above: tuple["Tier", ...] = ()
    cache_write_1h: int | None = None
    audio_input: int | None = None
    audio_output: int | None = None

    @property
    def hour(self) -> int:
        """For a cache write that is kept for an hour."""
        return self.cache_write if self.cache_write_1h is None else self.cache_write_1h

    @property
    def heard(self) -> int:
        """For sound in the input."""
        return self.input if self.audio_input is None else self.audio_input

    @property
    def spoken(self) -> int:
        """For sound in the output."""
        return self.output if self.audio_output is None else self.audio_output


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
        + usage.cache_write_1h * rates.hour
        + usage.audio_input * rates.heard
        + (usage.output - usage.audio_output) * rates.output
        + usage.audio_output * rates.spoken
    )
    return -(-total // MILLION)


def prices_sound(rates: Rates | None) -> bool:
    """Whether sound costs something else than text."""
    return rates is not None and (rates.audio_input is not None or rates.audio_output is not None)


def worst_case(input_tokens: int, output_tokens: int, rates: Rates | None, *, audio: bool = True) -> Reserve:
    """What must be set aside before the call: the whole input at its dearest rate, and the longest output at its own.
    `audio` False: no sound goes in or is asked for, so that its rates, many times those of text, cannot apply."""
    tokens = input_tokens + output_tokens
    if rates is None:
        return Reserve(UNKNOWN, tokens)
    rates = _for_prompt(rates, input_tokens)
    dearest_in = max(rates.input, rates.cache_read, rates.cache_write, rates.hour, rates.heard if audio else 0)
    dearest_out = max(rates.output, rates.spoken if audio else 0)
    total = input_tokens * dearest_in + output_tokens * dearest_out
    return Reserve(-(-total // MILLION), tokens)


def _for_prompt(rates: Rates, input_tokens: int) -> Rates:
    for tier in reversed(rates.above):
        if input_tokens > tier.start:
            return tier.rates
    return rates
