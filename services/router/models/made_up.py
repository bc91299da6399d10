"""The models file that stands in when none is written: from the provider keys that are set, or the local model. Pure.

Each provider is asked in its own protocol: what its own clients send passes byte for byte.
"""

from collections.abc import Mapping

import msgspec

from services.router.models.alias_entry import AliasEntry
from services.router.models.file import Defaults, DeploymentEntry, ModelsFile

DEFAULT = "default"
EMBED = "embed"


class Offer(msgspec.Struct, frozen=True):
    """A provider, the variable that holds its key, and the models to begin with: the first is the cheap one."""

    variable: str
    provider: str
    chat: tuple[str, ...]
    embed: str = ""
    context_tokens: int = 0


OFFERS = (
    Offer(
        "OPENAI_API_KEY",
        "openai",
        ("gpt-6-luna", "gpt-6.1-sol"),
        "text-embedding-3-small",
        context_tokens=1_050_000,
    ),
    Offer(
        "ANTHROPIC_API_KEY",
        "anthropic",
        ("claude-haiku-5-5", "claude-sonnet-5-5"),
        context_tokens=1_000_000,
    ),
    Offer(
        "GEMINI_API_KEY",
        "gemini",
        ("gemini-3.8-flash", "gemini-4-argon"),
        "gemini-embedding-001",
        context_tokens=1_000_000,
    ),
)


class LocalModels(msgspec.Struct, frozen=True):
    """Addresses of OpenAI-wire servers on this machine; "" where there is none."""

    chat_url: str = ""
    chat_model: str = ""
    embed_url: str = ""
    embed_model: str = ""


def models_file(env: Mapping[str, str], local: LocalModels) -> ModelsFile:
    """Every model under its own name, and `default` and `embed` for whoever names none.

    `default` is the first model of each provider with a key, in the order of OFFERS. Embeddings of different models
    cannot be compared, so that `embed` is one model only.
    """
    deployments: dict[str, DeploymentEntry] = {}
    aliases: dict[str, list[str] | AliasEntry] = {}
    first: list[str] = []
    embed = ""
    for offer in OFFERS:
        if not env.get(offer.variable, "").strip():
            continue
        for model in offer.chat:
            deployments[model] = _hosted(offer, model, "chat")
        first.append(offer.chat[0])
        if offer.embed and not embed:
            embed = offer.embed
            deployments[embed] = _hosted(offer, embed, "embeddings")
    if not first and local.chat_url:
        first.append(local.chat_model)
        deployments[local.chat_model] = _local(local.chat_url, local.chat_model, "chat")
    if not embed and local.embed_url:
        embed = local.embed_model
        deployments[embed] = _local(local.embed_url, embed, "embeddings")
    aliases = {name: [name] for name in deployments}
    if first:
        aliases[DEFAULT] = first
    if embed:
        aliases[EMBED] = [embed]
    return ModelsFile(deployments, aliases, Defaults(DEFAULT if first else "", EMBED if embed else ""))


def _hosted(offer: Offer, model: str, kind: str) -> DeploymentEntry:
    chat = kind == "chat"
    return DeploymentEntry(
        provider=offer.provider,
        model=model,
        key=f"env:{offer.variable}",
        kinds=("chat",) if chat else ("embeddings",),
        context_tokens=offer.context_tokens if chat else 0,
        tools=chat,
    )


def _local(url: str, model: str, kind: str) -> DeploymentEntry:
    chat = kind == "chat"
    return DeploymentEntry(
        base_url=url,
        model=model,
        kinds=("chat",) if chat else ("embeddings",),
        tools=chat,
        price="free",
        output_tokens_field="max_tokens",
    )
