"""The kinds of provider that a models file may name."""

from collections.abc import Mapping

from services.router.providers.hosted import Hosted
from services.router.providers.http import Http
from services.router.providers.provider import Provider
from services.router.providers.scripted import Scripted

OPENAI = "openai"
SCRIPTED = "scripted"
HOSTED = (OPENAI, "openai_compatible", "azure", "anthropic", "gemini")
NAMES = (*HOSTED, SCRIPTED)
Providers = Mapping[str, Provider]


def providers(http: Http, *, response_max_bytes: int) -> Providers:
    """One of each, for the life of the process."""
    hosted = Hosted(http, response_max_bytes=response_max_bytes)
    return {SCRIPTED: Scripted(), **dict.fromkeys(HOSTED, hosted)}
