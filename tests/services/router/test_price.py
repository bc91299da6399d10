"""Money is whole nano-dollars, rounded up, and an unknown price is not zero."""

from decimal import Decimal

from penstock.contracts.llm import Usage
from penstock.contracts.policy import Reserve
from services.router.price import FREE, Rates, Tier, cost, nano_per_million, worst_case
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


def test_a_listed_price_of_fractions_of_a_cent_is_exact() -> None:
    assert nano_per_million(Decimal("0.0375")) == 37_500_000
    assert nano_per_million(Decimal("0.0000000004")) == 0
