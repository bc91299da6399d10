"""The models file: deployments named once, aliases that list them in order. Taken whole, or refused with a sentence."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec
import yaml

from services.router.catalogue import Alias, Catalogue
from services.router.deployment import Deployment, Kind, Timeouts
from services.router.keys import BadKeyReference, find_key
from services.router.price import FREE, Rates, nano_per_million
from services.router.price_table import TABLE_VERSION, listed, listed_at
from services.router.providers.table import NAMES, OPENAI, SCRIPTED
from services.router.script import Script

FILE_MAX_BYTES = 1024 * 1024
NAME_MAX_CHARS = 128


class BadModelsFile(ValueError):
    """Why a file is refused, and what to write instead."""


class PriceEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Either `id` (`provider/model` of the genai-prices table) or dollars per million tokens."""

    id: str = ""
    input_usd_per_mtok: Decimal | None = None
    output_usd_per_mtok: Decimal = Decimal(0)
    cache_read_usd_per_mtok: Decimal | None = None
    cache_write_usd_per_mtok: Decimal | None = None


class DeploymentEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One deployment as it is written. `price: free` is a price of zero; without `price` the table is asked by
    base_url and model; `output_tokens_max` 0 is the model's own limit."""

    provider: str = OPENAI
    base_url: str = ""
    model: str
    key: str = ""
    kinds: tuple[Kind, ...] = ("chat",)
    context_tokens: int = 0
    tools: bool = True
    output_tokens_max: int = 0
    output_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    stream_usage: bool = True
    price: PriceEntry | Literal["free"] | None = None
    timeouts: Timeouts = Timeouts()
    concurrency_max: int = 64
    script: str = ""


class Defaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The aliases used where a job names none."""

    chat: str = ""
    embed: str = ""


class ModelsFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    deployments: dict[str, DeploymentEntry]
    aliases: dict[str, list[str]]
    default: Defaults = Defaults()


def load(path: Path, env: Mapping[str, str], at: datetime) -> Catalogue:
    """Reads the file, its scripts and the keys it names. `at`: whose day's prices. Raises BadModelsFile."""
    text = _read(path, "the models file")
    try:
        raw = yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise BadModelsFile(f"the models file is not YAML: {_first_line(error)}") from None
    try:
        file = msgspec.convert(raw, ModelsFile)
    except msgspec.ValidationError as error:
        raise BadModelsFile(f"the models file: {error}") from None
    return build(file, env, path.parent, at)


def build(file: ModelsFile, env: Mapping[str, str], folder: Path, at: datetime) -> Catalogue:
    """The snapshot that the file's content makes. Raises BadModelsFile."""
    deployments = {name: _deployment(name, entry, env, folder, at) for name, entry in file.deployments.items()}
    aliases = {name: _alias(name, names, deployments) for name, names in file.aliases.items()}
    used = {name for names in file.aliases.values() for name in names}
    if unused := sorted(set(deployments) - used):
        raise BadModelsFile(f"no alias lists the deployment {unused[0]}: list it under aliases, or remove it")
    _check_default("chat", file.default.chat, aliases)
    _check_default("embeddings", file.default.embed, aliases)
    ids = "".join(sorted(deployment.id for deployment in deployments.values()))
    digest = hashlib.sha256(msgspec.json.encode([file.aliases, file.default]) + ids.encode())
    return Catalogue(aliases, file.default.chat, file.default.embed, digest.hexdigest()[:12])


def _deployment(name: str, entry: DeploymentEntry, env: Mapping[str, str], folder: Path, at: datetime) -> Deployment:
    if not name or len(name) > NAME_MAX_CHARS or not name.isprintable():
        raise BadModelsFile(f"a deployment's name must be 1 to {NAME_MAX_CHARS} printable characters")
    try:
        _check(entry)
        key = find_key(entry.key, env, folder)
        script = _script(folder / entry.script) if entry.provider == SCRIPTED else None
        rates, version = _price(entry, at)
    except (BadKeyReference, BadModelsFile) as error:
        raise BadModelsFile(f"deployment {name}: {error}") from None
    content = msgspec.json.encode([entry, script, rates]) + key.reveal().encode()
    return Deployment(
        name=name,
        id=f"{name}@{hashlib.sha256(content).hexdigest()[:12]}",
        provider=entry.provider,
        base_url=entry.base_url,
        model=entry.model,
        key=key,
        kinds=entry.kinds,
        context_tokens=entry.context_tokens,
        tools=entry.tools,
        output_tokens_max=entry.output_tokens_max,
        output_tokens_field=entry.output_tokens_field,
        stream_usage=entry.stream_usage,
        rates=rates,
        price_version=version,
        timeouts=entry.timeouts,
        concurrency_max=entry.concurrency_max,
        script=script,
    )


def _check(entry: DeploymentEntry) -> None:
    if entry.provider not in NAMES:
        raise BadModelsFile(f"provider must be one of {', '.join(NAMES)}")
    if entry.provider == SCRIPTED:
        if not entry.script:
            raise BadModelsFile("script must name the file of its answers")
    else:
        _check_address(entry.base_url)
    if not entry.model or not entry.kinds:
        raise BadModelsFile("model and kinds must not be empty")
    if entry.context_tokens < 0 or entry.output_tokens_max < 0 or entry.concurrency_max < 1:
        raise BadModelsFile("context_tokens and output_tokens_max must be at least 0, concurrency_max at least 1")
    limits = entry.timeouts
    if min(limits.headers_s, limits.first_content_s, limits.idle_s, limits.total_s) <= 0:
        raise BadModelsFile("each of the timeouts must be above 0 seconds")


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


def _price(entry: DeploymentEntry, at: datetime) -> tuple[Rates | None, str]:
    """The rates and what they come from; None where no price is known, which is allowed and stays visible."""
    price = entry.price
    if price == "free" or (price is None and entry.provider == SCRIPTED):
        return FREE, "models file"
    if price is None:
        return listed_at(entry.base_url, entry.model, at), TABLE_VERSION
    if price.id:
        provider, _, model = price.id.partition("/")
        rates = listed(provider, model, at)
        if rates is None:
            raise BadModelsFile(f"price id {price.id} is not in the price table ({TABLE_VERSION})")
        return rates, TABLE_VERSION
    usd = price.input_usd_per_mtok
    if usd is None:
        raise BadModelsFile("write price: free, price: {id: provider/model} or price: {input_usd_per_mtok: 1.5, …}")
    amounts = (usd, price.output_usd_per_mtok, price.cache_read_usd_per_mtok, price.cache_write_usd_per_mtok)
    if any(amount is not None and not 0 <= amount < 1_000_000 for amount in amounts):
        raise BadModelsFile("a price must be a number of dollars from 0 to 1000000 per million tokens")
    read = price.cache_read_usd_per_mtok
    write = price.cache_write_usd_per_mtok
    rates = Rates(
        nano_per_million(usd),
        nano_per_million(price.output_usd_per_mtok),
        nano_per_million(usd if read is None else read),
        nano_per_million(usd if write is None else write),
    )
    return rates, "models file"


def _script(path: Path) -> Script:
    text = _read(path, "the script")
    try:
        return msgspec.convert(yaml.load(text, Loader=yaml.CSafeLoader), Script)
    except (yaml.YAMLError, RecursionError) as error:
        raise BadModelsFile(f"the script {path} is not YAML: {_first_line(error)}") from None
    except msgspec.ValidationError as error:
        raise BadModelsFile(f"the script {path}: {error}") from None


def _alias(name: str, names: list[str], deployments: Mapping[str, Deployment]) -> Alias:
    if not name or len(name) > NAME_MAX_CHARS or not name.isprintable():
        raise BadModelsFile(f"an alias must be 1 to {NAME_MAX_CHARS} printable characters")
    if not names:
        raise BadModelsFile(f"alias {name} lists no deployment: list one, or remove the alias")
    if unknown := [each for each in names if each not in deployments]:
        raise BadModelsFile(f"alias {name} lists {unknown[0]}, which is not under deployments")
    if len(set(names)) != len(names):
        raise BadModelsFile(f"alias {name} lists a deployment twice")
    chosen = tuple(deployments[each] for each in names)
    _check_one_space(name, chosen)
    return Alias(name, chosen)


def _check_one_space(name: str, deployments: tuple[Deployment, ...]) -> None:
    """Vectors of different models cannot be compared: falling back from one to the other would be silent nonsense."""
    models = {deployment.model for deployment in deployments if "embeddings" in deployment.kinds}
    if len(models) > 1:
        raise BadModelsFile(f"alias {name} mixes embedding models ({', '.join(sorted(models))}): list one model only")


def _check_default(kind: Kind, name: str, aliases: Mapping[str, Alias]) -> None:
    if name and (name not in aliases or kind not in aliases[name].kinds):
        raise BadModelsFile(f"default: {name} is not an alias that does {kind}")


def _read(path: Path, what: str) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise BadModelsFile(f"{what} {path} cannot be read: {error.strerror}") from None
    if len(raw) > FILE_MAX_BYTES:
        raise BadModelsFile(f"{what} {path} is larger than {FILE_MAX_BYTES} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise BadModelsFile(f"{what} {path} is not UTF-8 text") from None


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
