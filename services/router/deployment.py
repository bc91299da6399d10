"""A deployment: one model at one provider, as the models file describes it. Values only."""

from typing import Literal

import msgspec

from penstock.kit.config import Secret
from services.router.price import Rates
from services.router.script import Script

Kind = Literal["chat", "embeddings"]
CHAT: Kind = "chat"
EMBEDDINGS: Kind = "embeddings"


class Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The four limits of one attempt, each with a failure of its own.

    `headers_s` and `first_content_s` count from the sending of the request, `idle_s` from the last event that was
    not a comment, `total_s` from the start. A plain (not streamed) answer has no headers before it is whole: only
    `total_s` holds there.
    """

    headers_s: float = 30.0
    first_content_s: float = 90.0
    idle_s: float = 60.0
    total_s: float = 600.0


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One place where a model can be asked. `id` changes whenever anything about it does, so that what was learned
    about its health is forgotten with the edit. `rates` is None when the price is unknown."""

    name: str
    id: str
    provider: str
    base_url: str
    model: str
    key: Secret
    kinds: tuple[Kind, ...]
    context_tokens: int
    tools: bool
    output_tokens_max: int
    output_tokens_field: str
    stream_usage: bool
    rates: Rates | None
    price_version: str
    timeouts: Timeouts
    concurrency_max: int
    script: Script | None = None
