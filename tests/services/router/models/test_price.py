"""Money is whole nano-dollars, rounded up, and an unknown price is not zero."""

from decimal import Decimal

from penstock.contracts.llm import Usage
from penstock.contracts.policy import Reserve
from services.router.models.price import FREE, Rates, Tier, cost, nano_per_million, worst_case
from tests.support.deployments import RATES


def test_each_kind_of_token_has_its_rate() -> None:
    usage = Usage(uncached=100, cache_read=1000, cache_write=10, output=50, reasoning=20)
    assert cost(usage, RATES) == 100 * 2_000 + 1000 * 200 + 10 * 2_500 + 50 * 10_000


def test_a_part_of_a_nano_dollar_is_rounded_up() -> None:
    assert cost(Usage(uncached=1), Rates(1, 0, 0, 0)) == 1
    assert cost(Usage(uncached=1_000_000), Rates(1, 0, 0, 0)) == 1
    assert cost(Usage(uncached=1_000_001), Rates(1, 0, 0, 0)) == 2


def test_an_unknown_price_is_minus_one_and_free_is_zero() -> None:
    assert cost(Usage(uncached=5), None) == -1
    assert cost(Usage(uncached=5), FREE) == 0
    assert worst_case(5, 5, None) == Reserve(-1, 10)


def test_a_long_prompt_pays_the_higher_rate_for_every_token() -> None:
    above = Rates(4_000_000_000, 15_000_000_000, 400_000_000, 4_000_000_000)
    rates = Rates(2_000_000_000, 10_000_000_000, 200_000_000, 2_000_000_000, (Tier(1000, above),))
    assert cost(Usage(uncached=1000, output=1), rates) == 1000 * 2_000 + 10_000
    assert cost(Usage(uncached=1, cache_read=1000, output=1), rates) == 4_000 + 1000 * 400 + 15_000


def test_the_worst_case_takes_the_dearest_input_rate() -> None:
    assert worst_case(100, 10, RATES) == Reserve(100 * 2_500 + 10 * 10_000, 110)


def test_sound_and_cache_writes_for_an_hour_have_rates_of_their_own() -> None:
    rates = Rates(2_000, 10_000, 200, 2_500, cache_write_1h=4_000, audio_input=32_000, audio_output=64_000)
    usage = Usage(
        uncached=1_000, cache_write=1_000, cache_write_1h=1_000, audio_input=1_000, output=3_000, audio_output=1_000
    )
    assert cost(usage, rates) == 125  # 2 + 2.5 + 4 + 32 + 20 + 64, rounded up
    assert cost(Usage(cache_write_1h=1_000_000), rates) == 4_000
    assert cost(Usage(audio_input=1_000_000), rates) == 32_000
    assert cost(Usage(output=1_000_000, audio_output=1_000_000), rates) == 64_000


def test_a_rate_that_is_not_listed_is_that_of_plain_tokens_of_its_kind() -> None:
    assert cost(Usage(cache_write_1h=1_000_000), RATES) == 2_500_000_000
    assert cost(Usage(audio_input=1_000_000), RATES) == 2_000_000_000
    assert cost(Usage(output=1_000_000, audio_output=1_000_000), RATES) == 10_000_000_000
    assert cost(Usage(audio_input=1_000_000), Rates(2_000, 0, 0, 0, audio_input=0)) == 0


def test_the_worst_case_is_never_below_what_any_split_of_the_same_tokens_costs() -> None:
    rates = Rates(
        2_000_000_000, 10_000_000_000, 200_000_000, 2_500_000_000, (), 4_000_000_000, 32_000_000_000, 64_000_000_000
    )
    assert worst_case(100, 10, rates) == Reserve(100 * 32_000 + 10 * 64_000, 110)
    assert worst_case(100, 10, rates, audio=False) == Reserve(100 * 4_000 + 10 * 10_000, 110)


def test_a_listed_price_of_fractions_of_a_cent_is_exact() -> None:
    assert nano_per_million(Decimal("0.0375")) == 37_500_000
    assert nano_per_million(Decimal("0.0000000004")) == 0
