"""The published price of a model, read out of the table of the genai-prices package (no network)."""

from datetime import datetime
from decimal import Decimal

import genai_prices
import msgspec
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

from services.router.models.price import Rates, Tier, nano_per_million

TABLE_VERSION = f"genai-prices {genai_prices.__version__}"


def listed(provider: str, model: str, at: datetime) -> Rates | None:
    """The rates of `provider`'s `model` (ids of the table) at that time; None when it is not listed."""
    return _rates(_find(model, provider_id=provider, base_url=None), at)


def listed_at(base_url: str, model: str, at: datetime) -> Rates | None:
    """The same, the provider being told by its address."""
    return _rates(_find(model, provider_id=None, base_url=base_url), at)


def _find(model: str, provider_id: str | None, base_url: str | None) -> ModelInfo | None:
    try:
        return get_snapshot().find_provider_model(model, None, provider_id, base_url)[1]
    except LookupError:
        return None


def _rates(model: ModelInfo | None, at: datetime) -> Rates | None:
    if model is None:
        return None
    prices = model.get_prices(at)
    starts = sorted({tier.start for price in _tiered(prices) for tier in price.tiers})
    base = _rates_for(prices, 0)
    if base is None:
        return None
    tiers = [(start, _rates_for(prices, start + 1)) for start in starts]
    above = tuple(Tier(start, rates) for start, rates in tiers if rates is not None)
    return msgspec.structs.replace(base, above=above)


def _tiered(prices: ModelPrice) -> list[TieredPrices]:
    return [price for price in vars(prices).values() if isinstance(price, TieredPrices)]


def _rates_for(prices: ModelPrice, input_tokens: int) -> Rates | None:
    """A model without an input price is not priced by the token at all (audio, images)."""
    input_usd = _usd(prices.input_mtok, input_tokens)
    if input_usd is None:
        return None
    output_usd = _usd(prices.output_mtok, input_tokens)
    read_usd = _usd(prices.cache_read_mtok, input_tokens)
    write_usd = _usd(prices.cache_write_mtok, input_tokens)
    return Rates(
        nano_per_million(input_usd),
        nano_per_million(output_usd if output_usd is not None else Decimal(0)),
        nano_per_million(read_usd if read_usd is not None else input_usd),
        nano_per_million(write_usd if write_usd is not None else input_usd),
        cache_write_1h=_nano(_usd(prices.cache_write_1h_mtok, input_tokens)),
        audio_input=_nano(_usd(prices.input_audio_mtok, input_tokens)),
        audio_output=_nano(_usd(prices.output_audio_mtok, input_tokens)),
    )


def _nano(usd: Decimal | None) -> int | None:
    return None if usd is None else nano_per_million(usd)


def _usd(price: Decimal | TieredPrices | None, input_tokens: int) -> Decimal | None:
    if not isinstance(price, TieredPrices):
        return price
    usd = price.base
    for tier in price.tiers:
        if input_tokens > tier.start:
            usd = tier.price
    return usd
