"""Where each protocol is spoken below a provider's base URL, and how a key is shown there. Pure."""

from collections.abc import Collection, Mapping
from functools import lru_cache
from urllib.parse import quote

from yarl import URL

from penstock.contracts.llm import ANTHROPIC_MESSAGES, GEMINI_GENERATE, OPENAI_CHAT, OPENAI_EMBEDDINGS, OPENAI_RESPONSES

GEMINI_EMBED = "gemini.embed"
RERANK_WIRE = "rerank"
ANTHROPIC_COUNT = "anthropic.count"
GEMINI_COUNT = "gemini.count"
VERSION_HEADER = "anthropic-version"
ANTHROPIC_VERSION = "2023-06-01"
"""What an Anthropic provider is told when neither the caller nor the models file names a version."""
PASSED_ON: Mapping[str, frozenset[str]] = {
    OPENAI_CHAT: frozenset({"openai-beta"}),
    OPENAI_RESPONSES: frozenset({"openai-beta"}),
    ANTHROPIC_MESSAGES: frozenset({"anthropic-version", "anthropic-beta"}),
    ANTHROPIC_COUNT: frozenset({"anthropic-version", "anthropic-beta"}),
}
"""The caller's headers that a provider of its own protocol gets; nobody gets any other."""
_ANTHROPIC = (ANTHROPIC_MESSAGES, ANTHROPIC_COUNT)
_BELOW_VERSION = {
    OPENAI_CHAT: "chat/completions",
    OPENAI_RESPONSES: "responses",
    OPENAI_EMBEDDINGS: "embeddings",
    RERANK_WIRE: "rerank",
}


@lru_cache(maxsize=4096)
def address(base_url: str, protocol: str, model: str, streamed: bool) -> URL:
    """The URL to post to. An OpenAI base URL ends with its version (`/v1`); the others may leave theirs out."""
    base = base_url.rstrip("/")
    if (below := _BELOW_VERSION.get(protocol)) is not None:
        return URL(f"{base}/{below}", encoded=True)
    if protocol in _ANTHROPIC:
        path = "messages/count_tokens" if protocol == ANTHROPIC_COUNT else "messages"
        return URL(f"{base}/{path}" if base.endswith("/v1") else f"{base}/v1/{path}", encoded=True)
    if not base.endswith(("/v1", "/v1beta")):
        base += "/v1beta"
    name = quote(model.removeprefix("models/"), safe="")
    if protocol == GEMINI_EMBED:
        return URL(f"{base}/models/{name}:batchEmbedContents", encoded=True)
    if protocol == GEMINI_COUNT:
        return URL(f"{base}/models/{name}:countTokens", encoded=True)
    verb = "streamGenerateContent?alt=sse" if streamed else "generateContent"
    return URL(f"{base}/models/{name}:{verb}", encoded=True)


def credentials(provider: str, protocol: str, key: str) -> dict[str, str]:
    """The header that shows the key; none without a key."""
    if not key:
        return {}
    if provider == "azure":
        return {"api-key": key}
    if protocol in _ANTHROPIC:
        return {"x-api-key": key}
    if protocol in (GEMINI_GENERATE, GEMINI_EMBED, GEMINI_COUNT):
        return {"x-goog-api-key": key}
    return {"Authorization": f"Bearer {key}"}


def passed_on(
    protocol: str, sent: Mapping[str, str], only: Collection[str] | None = None, version: str = ""
) -> dict[str, str]:
    """Of the caller's headers those that this protocol's providers get, and what they want to be told besides. `only`:
    those that this one gets at most; `version`: of the API, where the caller names none."""
    allowed = PASSED_ON.get(protocol, frozenset())
    if only is not None:
        allowed = allowed.intersection(only)
    headers = {name: value for name, value in sent.items() if name in allowed}
    if protocol in _ANTHROPIC:
        headers.setdefault(VERSION_HEADER, version or ANTHROPIC_VERSION)
    return headers
