"""Deployments for tests, with everything that a test does not care about filled in."""

from penstock.kit.config import Secret
from services.router.models.deployment import Abilities, Deployment, Kind, OnDisconnect, Timeouts
from services.router.models.price import Rates
from services.router.models.script import Script

RATES = Rates(input=2_000_000_000, output=10_000_000_000, cache_read=200_000_000, cache_write=2_500_000_000)
"""2 dollars in, 10 out, per million tokens: 2,000 and 10,000 nano-dollars each."""


def deployment(
    name: str = "first",
    *,
    provider: str = "openai",
    base_url: str = "http://127.0.0.1:9/v1",
    model: str = "model-1",
    key: str = "",
    kinds: tuple[Kind, ...] = ("chat",),
    context_tokens: int = 0,
    tools: bool = True,
    output_tokens_max: int = 0,
    output_tokens_field: str = "max_completion_tokens",
    stream_usage: bool = True,
    rates: Rates | None = RATES,
    timeouts: Timeouts | None = None,
    concurrency_max: int = 64,
    script: Script | None = None,
    abilities: Abilities | None = None,
    keys: tuple[str, ...] = (),
    protocols: tuple[str, ...] = ("openai.chat",),
    weight: float = 1.0,
    priority: int = 0,
    rpm: int = 0,
    tpm: int = 0,
    on_disconnect: OnDisconnect | None = None,
) -> Deployment:
    return Deployment(
        name=name,
        id=f"{name}@1",
        provider=provider,
        base_url=base_url,
        model=model,
        key=Secret(keys[0] if keys else key),
        keys=tuple(Secret(each) for each in keys or ([key] if key else [])),
        kinds=kinds,
        context_tokens=context_tokens,
        abilities=abilities or Abilities(tools=tools),
        output_tokens_max=output_tokens_max,
        output_tokens_field=output_tokens_field,
        stream_usage=stream_usage,
        rates=rates,
        price_version="test",
        timeouts=timeouts or Timeouts(),
        concurrency_max=concurrency_max,
        script=script,
        protocols=protocols,
        endpoint=f"{provider}:test",
        weight=weight,
        priority=priority,
        rpm=rpm,
        tpm=tpm,
        on_disconnect=on_disconnect or OnDisconnect(),
    )
