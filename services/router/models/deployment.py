"""A deployment: one model at one provider, as the models file describes it. Values only."""

from typing import Literal

import msgspec

from penstock.kit.config import Secret
from services.router.models.price import Rates
from services.router.models.script import Script

Kind = Literal["chat", "embeddings", "rerank"]
CHAT: Kind = "chat"
EMBEDDINGS: Kind = "embeddings"
RERANK: Kind = "rerank"
CANCEL, DRAIN, SPOOL = "cancel", "drain", "spool"


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


class Abilities(msgspec.Struct, frozen=True):
    """What a model can honour. `schema`: an answer that keeps to a JSON schema; `documents`, `audio`, `images`: as
    input; `reasoning`: it takes a wish for how much to think."""

    tools: bool = True
    schema: bool = True
    images: bool = True
    documents: bool = True
    audio: bool = True
    reasoning: bool = True


class OnDisconnect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of a streamed answer whose reader has gone: `cancel` hangs up on the provider; `drain` reads to the
    end, so that the provider's own count is billed, at most `drain_s` long and for `drains_max` answers at once;
    `spool` does so too, and keeps every stream for who comes back. One whose caller asked to resume it goes on as with
    `spool` in any case."""

    do: Literal["cancel", "drain", "spool"] = "cancel"
    drain_s: float = 60.0
    drains_max: int = 16


class Probing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A small question every `every_s`, asked whole and, unless `streamed` is false, as a stream: whether the
    deployment is well, before anybody's request finds that it is not. One that takes longer than `within_s` has failed.
    `prompt` must be one that it answers within `output_tokens` (thoughts count)."""

    every_s: float
    within_s: float = 30.0
    streamed: bool = True
    prompt: str = "Reply with the word OK."
    output_tokens: int = 16


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """One place where a model can be asked.

    `id` changes whenever anything about it does, so that what was learned about its health is forgotten with the edit.
    `protocols`: those it speaks, names of `penstock.contracts.llm`, the one it knows best first. `endpoint`: where
    signatures and sealed reasoning are minted and honoured. `key` is the one in use, `keys` all of them. `headers`:
    which of the caller's it gets at most, in lower case; None for all that its protocol knows. `weight` and `priority`
    (the lowest number goes first) are for choosing; `rpm`, `tpm`: requests and tokens a minute, 0 for no limit.
    `rates` is None when the price is unknown. `thoughts_field`: see `protocols.protocol.Target`. `version`: of the
    provider's API that it is asked under where the caller names none (Anthropic's).
    """

    name: str
    id: str
    provider: str
    base_url: str
    model: str
    key: Secret
    kinds: tuple[Kind, ...]
    context_tokens: int
    output_tokens_max: int
    output_tokens_field: str
    stream_usage: bool
    rates: Rates | None
    price_version: str
    timeouts: Timeouts
    concurrency_max: int
    script: Script | None = None
    protocols: tuple[str, ...] = ("openai.chat",)
    endpoint: str = ""
    keys: tuple[Secret, ...] = ()
    headers: tuple[str, ...] | None = None
    abilities: Abilities = Abilities()
    weight: float = 1.0
    priority: int = 0
    rpm: int = 0
    tpm: int = 0
    labels: dict[str, str] = {}
    on_disconnect: OnDisconnect = OnDisconnect()
    thoughts_field: str = ""
    version: str = ""
    probe: Probing | None = None

    @property
    def tools(self) -> bool:
        """Whether it takes tools."""
        return self.abilities.tools

    def within(self, total_s: float) -> "Deployment":
        """The same, with no attempt longer than this."""
        timeouts = msgspec.structs.replace(self.timeouts, total_s=min(self.timeouts.total_s, total_s))
        return msgspec.structs.replace(self, timeouts=timeouts)

    def with_key(self, number: int) -> "Deployment":
        """The same, showing another of its keys."""
        if number >= len(self.keys) or self.keys[number] == self.key:
            return self
        return msgspec.structs.replace(self, key=self.keys[number])
