"""The published prices, as the package lists them."""

from datetime import UTC, datetime

from services.router.models.price import Rates
from services.router.models.price_table import TABLE_VERSION, listed, listed_at

AT = datetime(2026, 11, 24, tzinfo=UTC)


def test_a_model_is_found_by_provider_and_name() -> None:
    assert listed("openai", "gpt-5-mini", AT) == Rates(250_000_000, 2_000_000_000, 25_000_000, 250_000_000)


def test_a_model_is_found_by_its_provider_s_address() -> None:
    assert listed_at("https://api.openai.com/v1", "gpt-5-mini", AT) == listed("openai", "gpt-5-mini", AT)


def test_long_prompt_prices_come_with_it() -> None:
    rates = listed("google", "gemini-2.5-pro", AT)
    assert rates is not None
    assert (rates.input, rates.output) == (1_250_000_000, 10_000_000_000)
    assert [tier.start for tier in rates.above] == [200_000]
    assert (rates.above[0].rates.input, rates.above[0].rates.output) == (2_500_000_000, 15_000_000_000)


def test_cache_writes_for_an_hour_and_sound_have_their_listed_prices() -> None:
    claude, gemini = listed("anthropic", "claude-sonnet-4-5", AT), listed("google", "gemini-2.5-flash", AT)
    assert claude is not None and gemini is not None
    assert (claude.cache_write, claude.cache_write_1h) == (3_750_000_000, 6_000_000_000)
    assert (gemini.input, gemini.audio_input, gemini.audio_output) == (300_000_000, 1_000_000_000, None)


def test_what_is_not_listed_has_no_price() -> None:
    assert listed("openai", "no-such-model", AT) is None
    assert listed("no-such-provider", "gpt-5-mini", AT) is None
    assert listed_at("http://127.0.0.1:8080/v1", "my-own-model", AT) is None


def test_the_table_has_a_version() -> None:
    assert TABLE_VERSION.startswith("genai-prices ")
