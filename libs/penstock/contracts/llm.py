"""Model calls. Bodies are carried raw, in the caller's protocol; only what a decision needs is decoded."""

import msgspec

OPENAI_CHAT = "openai.chat"
OPENAI_RESPONSES = "openai.responses"
ANTHROPIC_MESSAGES = "anthropic.messages"
GEMINI_GENERATE = "gemini.generate"
OPENAI_EMBEDDINGS = "openai.embeddings"


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one attempt, as a vector whose parts never overlap: the input is `uncached + cache_read + cache_write`,
    the output is `output` of which `reasoning` were not shown. `estimated`: counted by us, not by the provider."""

    uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    estimated: bool = False

    @property
    def input(self) -> int:
        """All input tokens."""
        return self.uncached + self.cache_read + self.cache_write

    @property
    def total(self) -> int:
        """All tokens."""
        return self.input + self.output

    def plus(self, other: "Usage") -> "Usage":
        """The sum of two attempts."""
        return Usage(
            self.uncached + other.uncached,
            self.cache_read + other.cache_read,
            self.cache_write + other.cache_write,
            self.output + other.output,
            self.reasoning + other.reasoning,
            self.estimated or other.estimated,
        )


class CompletionRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model call. `model` is an alias of the models file, `body` the request in `surface`'s protocol."""

    model: str
    body: msgspec.Raw
    surface: str = OPENAI_CHAT


class Served(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who answered, and what it used. `cost_nano`: nano-dollars (10^-9 USD) under `price_version`; -1: unknown."""

    attempt: str
    deployment: str
    model: str
    usage: Usage = Usage()
    cost_nano: int = 0
    price_version: str = ""
    decision: str = ""
    attempts: int = 1
    first_token_ms: float = 0.0


class Completion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A whole answer, in the protocol of the request."""

    body: msgspec.Raw
    served: Served


class CompletionEnd(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of a streamed answer, whose frames are the provider's server-sent events, byte for byte."""

    served: Served
    finish: str = ""


class EmbedRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Texts to embed with the alias `model`."""

    model: str
    texts: list[str]


class Embeddings(msgspec.Struct, frozen=True, omit_defaults=True):
    """One vector per text, in order."""

    vectors: list[list[float]]
    served: Served


class ModelsRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which models may the caller use?"""


class ModelInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One alias. `kinds`: chat, embeddings."""

    id: str
    kinds: tuple[str, ...] = ("chat",)
    owned_by: str = ""
    context_tokens: int = 0
    tools: bool = False


class Models(msgspec.Struct, frozen=True, omit_defaults=True):
    """The aliases, sorted by id. `default_chat`/`default_embed`: the alias used where a job names none."""

    models: list[ModelInfo]
    default_chat: str = ""
    default_embed: str = ""
