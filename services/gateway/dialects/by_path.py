"""Which protocol a request speaks: by its path, and where three share one, by headers that only their clients send."""

from collections.abc import Mapping

from services.gateway.dialects.anthropic import Anthropic
from services.gateway.dialects.dialect import Dialect
from services.gateway.dialects.gemini import Gemini
from services.gateway.dialects.openai import OpenAi
from services.gateway.dialects.responses import Responses

OPENAI = OpenAi()
RESPONSES = Responses()
ANTHROPIC = Anthropic()
GEMINI = Gemini()

MODELS = "/v1/models"


def dialect_of(method: str, path: str, headers: Mapping[str, str], query: Mapping[str, str]) -> Dialect:
    """OpenAI's where nothing says otherwise, for paths that there are and for those that there are not."""
    if _below(path, "/v1/messages"):
        return ANTHROPIC
    if _below(path, "/v1/responses"):
        return RESPONSES
    if _below(path, "/v1beta"):
        return GEMINI
    if _below(path, MODELS):
        # only Gemini posts there; a colon alone says nothing, since model names have colons
        return GEMINI if method == "POST" else _by_headers(headers, query)
    return OPENAI


def dialect_of_surface(surface: str) -> Dialect:
    """The one of a protocol's name on the bus; OpenAI's for one that is not known."""
    return next((each for each in (ANTHROPIC, RESPONSES, GEMINI) if each.surface == surface), OPENAI)


def _by_headers(headers: Mapping[str, str], query: Mapping[str, str]) -> Dialect:
    if "anthropic-version" in headers:
        return ANTHROPIC
    if "x-goog-api-key" in headers or "x-goog-api-client" in headers or "key" in query:
        return GEMINI
    return ANTHROPIC if "x-api-key" in headers else OPENAI


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")
