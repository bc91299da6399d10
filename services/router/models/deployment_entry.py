"""A deployment as it is written in the models file, and the Deployment it makes."""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec
import yaml

from penstock.contracts.llm import (
    ANTHROPIC_MESSAGES,
    GEMINI_GENERATE,
    OPENAI_CHAT,
    OPENAI_RESPONSES,
    UPSTREAM_HEADERS,
)
from penstock.kit.config import Secret
from services.router.models.bad_file import BadModelsFile, first_line, read_text
from services.router.models.deployment import CHAT, Abilities, Deployment, Kind, OnDisconnect, Probing, Timeouts
from services.router.models.keys import BadKeyReference, find_key
from services.router.models.price import FREE, Rates, nano_per_million
from services.router.models.price_table import TABLE_VERSION, listed, listed_at
from services.router.models.script import Script
from services.router.providers.table import NAMES, OPENAI, SCRIPTED

NAME_MAX_CHARS = 128
KEYS_MAX = 64
PROBE_MIN_S, PROBE_MAX_S = 1.0, 86_400.0
PROBE_TOKENS_MAX = 4_096
PROBE_PROMPT_MAX_CHARS = 1_000
PROTOCOLS = (OPENAI_CHAT, OPENAI_RESPONSES, ANTHROPIC_MESSAGES, GEMINI_GENERATE)
COMPATIBLE = "openai_compatible"
_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
OPENAI_HOSTS = ("api.openai.com", "eu.api.openai.com", "us.api.openai.com")
BASE_URLS: Mapping[str, str] = {
    OPENAI: "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
}
SPOKEN: Mapping[str, tuple[str, ...]] = {
    OPENAI: (OPENAI_CHAT, OPENAI_RESPONSES),
    COMPATIBLE: (OPENAI_CHAT,),
    "azure": (OPENAI_CHAT, OPENAI_RESPONSES),
    "anthropic": (ANTHROPIC_MESSAGES,),
    "gemini": (GEMINI_GENERATE,),
    SCRIPTED: (OPENAI_CHAT,),
}
"""What each provider speaks when the file does not say."""
CANNOT: Mapping[str, frozenset[str]] = {
    COMPATIBLE: frozenset({"documents", "audio"}),
    "anthropic": frozenset({"audio"}),
}
"""Abilities that a provider's models lack when the file does not say."""


class PriceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either `id` (`provider/model` of the genai-prices table) or dollars per million tokens."""

    id: str = ""
    input_usd_per_mtok: Decimal | None = None
    output_usd_per_mtok: Decimal = Decimal(0)
    cache_read_usd_per_mtok: Decimal | None = None
    cache_write_usd_per_mtok: Decimal | None = None
    cache_write_1h_usd_per_mtok: Decimal | None = None
    audio_input_usd_per_mtok: Decimal | None = None
    audio_output_usd_per_mtok: Decimal | None = None


class DeploymentEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One deployment as it is written; what is left out is as its provider usually is.

    Without `provider` it is OpenAI's own address, or else one of a compatible server, which is trusted to have every
    ability.
    `price: free` is a price of zero; without `price` the table is asked by base_url and model; `output_tokens_max` 0 is
    the model's own limit. `account` tells apart accounts at one provider that do not honour each other's signatures.
    `version` is that of Anthropic's API, as its header says it.
    """

    provider: str = ""
    base_url: str = ""
    model: str
    key: str = ""
    keys: tuple[str, ...] = ()
    account: str = ""
    endpoint: str = ""
    protocols: tuple[str, ...] = ()
    headers: tuple[str, ...] | None = None
    kinds: tuple[Kind, ...] = ("chat",)
    context_tokens: int = 0
    tools: bool | None = None
    schema: bool | None = None
    images: bool | None = None
    documents: bool | None = None
    audio: bool | None = None
    reasoning: bool | None = None
    output_tokens_max: int = 0
    output_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    thoughts_field: Literal["", "reasoning_content", "reasoning"] = ""
    version: str = ""
    stream_usage: bool = True
    price: PriceEntry | Literal["free"] | None = None
    timeouts: Timeouts = Timeouts()
    concurrency_max: int = 64
    weight: float = 1.0
    priority: int = 0
    rpm: int = 0
    tpm: int = 0
    labels: dict[str, str] = {}
    on_disconnect: Literal["cancel", "drain", "spool"] | OnDisconnect = "cancel"
    script: str = ""
    probe: Probing | None = None

    def made(self, name: str, env: Mapping[str, str], folder: Path, at: datetime) -> Deployment:
        """The deployment. `env` and `folder` hold its keys; `at`: whose day's price. Raises BadModelsFile."""
        if not name or len(name) > NAME_MAX_CHARS or not name.isprintable():
            raise BadModelsFile(f"a deployment's name must be 1 to {NAME_MAX_CHARS} printable characters")
        try:
            return _made(name, _provided(self), env, folder, at)
        except (BadKeyReference, BadModelsFile) as error:
            raise BadModelsFile(f"deployment {name}: {error}") from None


def _provided(entry: DeploymentEntry) -> DeploymentEntry:
    """With its provider, where the file left it out."""
    if entry.provider:
        return entry
    if not entry.base_url or _host(entry.base_url) in OPENAI_HOSTS:
        return msgspec.structs.replace(entry, provider=OPENAI)
    all_of_them = {name: True for name in Abilities.__struct_fields__ if getattr(entry, name) is None}
    return msgspec.structs.replace(entry, provider=COMPATIBLE, **all_of_them)


def _host(base_url: str) -> str:
    """In lower case with its port; "" for what is no address."""
    try:
        return urlsplit(base_url).netloc.rpartition("@")[2].lower()
    except ValueError:
        return ""


def _made(name: str, entry: DeploymentEntry, env: Mapping[str, str], folder: Path, at: datetime) -> Deployment:
    base_url = entry.base_url or BASE_URLS.get(entry.provider, "")
    _check(entry, base_url)
    keys = _keys(entry, env, folder)
    script = _script(folder / entry.script) if entry.provider == SCRIPTED else None
    rates, version = _price(entry, base_url, at)
    content = msgspec.json.encode([entry, script, rates]) + "\n".join(key.reveal() for key in keys).encode()
    leaving = entry.on_disconnect
    return Deployment(
        name=name,
        id=f"{name}@{hashlib.sha256(content).hexdigest()[:12]}",
        provider=entry.provider,
        base_url=base_url,
        model=entry.model,
        key=keys[0] if keys else Secret(),
        keys=keys,
        kinds=entry.kinds,
        context_tokens=entry.context_tokens,
        abilities=_abilities(entry),
        output_tokens_max=entry.output_tokens_max,
        output_tokens_field=entry.output_tokens_field,
        stream_usage=entry.stream_usage,
        thoughts_field=entry.thoughts_field,
        version=entry.version,
        rates=rates,
        price_version=version,
        timeouts=entry.timeouts,
        concurrency_max=entry.concurrency_max,
        script=script,
        protocols=entry.protocols or SPOKEN[entry.provider],
        endpoint=entry.endpoint or _endpoint(entry, base_url),
        headers=None if entry.headers is None else tuple(header.lower() for header in entry.headers),
        weight=entry.weight,
        priority=entry.priority,
        rpm=entry.rpm,
        tpm=entry.tpm,
        labels=entry.labels,
        probe=entry.probe,
        on_disconnect=leaving if isinstance(leaving, OnDisconnect) else OnDisconnect(leaving),
    )


def _keys(entry: DeploymentEntry, env: Mapping[str, str], folder: Path) -> tuple[Secret, ...]:
    """None without a reference; two names for one key are one key."""
    references = (entry.key,) if entry.key else entry.keys
    if entry.key and entry.keys:
        raise BadModelsFile("key and keys are both set: keep one of them")
    if len(references) > KEYS_MAX or not all(references):
        raise BadModelsFile(f"keys must be 1 to {KEYS_MAX} references such as env:NAME")
    return tuple(dict.fromkeys(find_key(reference, env, folder) for reference in references))


def _abilities(entry: DeploymentEntry) -> Abilities:
    lacking = CANNOT.get(entry.provider, frozenset())
    said = {name: getattr(entry, name) for name in Abilities.__struct_fields__}
    return Abilities(**{name: name not in lacking if value is None else value for name, value in said.items()})


def _endpoint(entry: DeploymentEntry, base_url: str) -> str:
    """One provider's account at one host: what one of its models signs the others read."""
    return f"{entry.provider}:{_host(base_url)}" + (f"/{entry.account}" if entry.account else "")


def _check(entry: DeploymentEntry, base_url: str) -> None:
    if entry.provider not in NAMES:
        raise BadModelsFile(f"provider must be one of {', '.join(NAMES)}")
    if entry.provider == SCRIPTED:
        if not entry.script:
            raise BadModelsFile("script must name the file of its answers")
    else:
        _check_address(base_url)
    if not entry.model or not entry.kinds:
        raise BadModelsFile("model and kinds must not be empty")
    if bad := [name for name in entry.protocols if name not in PROTOCOLS]:
        raise BadModelsFile(f"protocols: {bad[0][:40]!r} is none of {', '.join(PROTOCOLS)}")
    if bad := [name for name in entry.headers or () if name.lower() not in UPSTREAM_HEADERS]:
        raise BadModelsFile(f"headers: {bad[0][:40]!r} is none of {', '.join(sorted(UPSTREAM_HEADERS))}")
    if entry.version and ANTHROPIC_MESSAGES not in (entry.protocols or SPOKEN[entry.provider]):
        raise BadModelsFile("version is of Anthropic's API: leave it out where anthropic.messages is not spoken")
    if entry.version and _VERSION.fullmatch(entry.version) is None:
        raise BadModelsFile("version must be a date such as '2023-06-01', in quotes")
    _check_numbers(entry)


def _check_numbers(entry: DeploymentEntry) -> None:
    if entry.context_tokens < 0 or entry.output_tokens_max < 0 or entry.concurrency_max < 1:
        raise BadModelsFile("context_tokens and output_tokens_max must be at least 0, concurrency_max at least 1")
    if entry.rpm < 0 or entry.tpm < 0:
        raise BadModelsFile("rpm and tpm must be at least 0 (no limit)")
    if not 0 < entry.weight <= 1_000_000:
        raise BadModelsFile("weight must be above 0 and at most 1000000: to send it nothing, leave it out of the alias")
    limits = entry.timeouts
    if min(limits.headers_s, limits.first_content_s, limits.idle_s, limits.total_s) <= 0:
        raise BadModelsFile("each of the timeouts must be above 0 seconds")
    leaving = entry.on_disconnect
    if isinstance(leaving, OnDisconnect) and (leaving.drain_s <= 0 or leaving.drains_max < 1):
        raise BadModelsFile("on_disconnect: drain_s must be above 0 seconds and drains_max at least 1")
    if entry.probe is not None:
        _check_probe(entry.probe, entry.kinds)


def _check_probe(probe: Probing, kinds: tuple[Kind, ...]) -> None:
    if CHAT not in kinds:
        raise BadModelsFile("probe: only deployments that do chat are probed")
    if not PROBE_MIN_S <= probe.every_s <= PROBE_MAX_S or not 1 <= probe.output_tokens <= PROBE_TOKENS_MAX:
        raise BadModelsFile(
            f"probe: every_s must be {PROBE_MIN_S:g} to {PROBE_MAX_S:g} seconds, output_tokens 1 to {PROBE_TOKENS_MAX}"
        )
    if not 0 < probe.within_s <= PROBE_MAX_S:
        raise BadModelsFile(f"probe: within_s must be above 0 and at most {PROBE_MAX_S:g} seconds")
    if not 0 < len(probe.prompt) <= PROBE_PROMPT_MAX_CHARS:
        raise BadModelsFile(f"probe: prompt must be 1 to {PROBE_PROMPT_MAX_CHARS} characters")


def _check_address(base_url: str) -> None:
    try:
        url = urlsplit(base_url)
        good = url.scheme in ("http", "https") and bool(url.hostname) and not url.query and not url.fragment
        named = url.username is not None or url.password is not None
    except ValueError:
        good, named = False, False
    if named:
        raise BadModelsFile("base_url may not hold a user or a password: name the key with key: env:NAME")
    if not good:
        raise BadModelsFile("base_url must be an http or https address such as https://api.openai.com/v1")


def _price(entry: DeploymentEntry, base_url: str, at: datetime) -> tuple[Rates | None, str]:
    """The rates and what they come from; None where no price is known, which is allowed and stays visible."""
    price = entry.price
    if price == "free" or (price is None and entry.provider == SCRIPTED):
        return FREE, "models file"
    if price is None:
        return listed_at(base_url, entry.model, at), TABLE_VERSION
    if price.id:
        provider, _, model = price.id.partition("/")
        rates = listed(provider, model, at)
        if rates is None:
            raise BadModelsFile(f"price id {price.id} is not in the price table ({TABLE_VERSION})")
        return rates, TABLE_VERSION
    return _rates(price), "models file"


def _rates(price: PriceEntry) -> Rates:
    usd = price.input_usd_per_mtok
    if usd is None:
        raise BadModelsFile("write price: free, price: {id: provider/model} or price: {input_usd_per_mtok: 1.5, …}")
    read, write = price.cache_read_usd_per_mtok, price.cache_write_usd_per_mtok
    more = (price.cache_write_1h_usd_per_mtok, price.audio_input_usd_per_mtok, price.audio_output_usd_per_mtok)
    amounts = (usd, price.output_usd_per_mtok, read, write, *more)
    if any(amount is not None and not 0 <= amount < 1_000_000 for amount in amounts):
        raise BadModelsFile("a price must be a number of dollars from 0 to 1000000 per million tokens")
    hour, heard, spoken = (None if amount is None else nano_per_million(amount) for amount in more)
    return Rates(
        nano_per_million(usd),
        nano_per_million(price.output_usd_per_mtok),
        nano_per_million(usd if read is None else read),
        nano_per_million(usd if write is None else write),
        cache_write_1h=hour,
        audio_input=heard,
        audio_output=spoken,
    )


def _script(path: Path) -> Script:
    text = read_text(path, "the script")
    try:
        return msgspec.convert(yaml.load(text, Loader=yaml.CSafeLoader), Script)
    except (yaml.YAMLError, RecursionError) as error:
        raise BadModelsFile(f"the script {path} is not YAML: {first_line(error)}") from None
    except msgspec.ValidationError as error:
        raise BadModelsFile(f"the script {path}: {error}") from None
