"""Model calls. Bodies are carried raw, in the caller's protocol; only what a decision needs is decoded."""

import msgspec

from penstock.contracts.errors import FailureBody

OPENAI_CHAT = "openai.chat"
OPENAI_RESPONSES = "openai.responses"
ANTHROPIC_MESSAGES = "anthropic.messages"
GEMINI_GENERATE = "gemini.generate"
OPENAI_EMBEDDINGS = "openai.embeddings"

UPSTREAM_HEADERS = frozenset({"anthropic-version", "anthropic-beta", "openai-beta"})
"""Of what a caller sends beside its body, all that may reach a provider."""

REPORT_LOSSES, REFUSE_LOSSES, ACCEPT_LOSSES = "report", "refuse", "accept"
NO_STORE, ONLY, REFRESH = "no-store", "only", "refresh"

HEAD_START = b'{"head":1'
"""How a CompletionHead begins, and no server-sent event does."""


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one attempt, as a vector whose parts never overlap: the input is `uncached + cache_read + cache_write +
    cache_write_1h + audio_input`, the output is `output`, of which `reasoning` were not shown and `audio_output` are
    sound. `cache_write`: kept for 5 minutes or the provider's usual time; `cache_write_1h`: for an hour or longer;
    `audio_input`: sound that did not come out of a cache. `estimated`: counted by us, not by the provider."""

    uncached: int = 0
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    estimated: bool = False
    cache_write_1h: int = 0
    audio_input: int = 0
    audio_output: int = 0

    @property
    def input(self) -> int:
        """All input tokens."""
        return self.uncached + self.cache_read + self.cache_write + self.cache_write_1h + self.audio_input

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
            self.cache_write_1h + other.cache_write_1h,
            self.audio_input + other.audio_input,
            self.audio_output + other.audio_output,
        )


class Template(msgspec.Struct, frozen=True, omit_defaults=True):
    """A prompt template by name; `version` "" is the current one. `variables` are JSON values by name."""

    name: str
    version: str = ""
    variables: dict[str, msgspec.Raw] = {}


class CompletionRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model call. `model` is an alias of the models file, `body` the request in `surface`'s protocol.

    headers: of the caller, lower case, only those in UPSTREAM_HEADERS: they mean something to a provider of the same
    protocol and to nobody else.
    session: whatever the caller calls its conversation; requests of one session like to go to one deployment.
    labels: the caller's, for routing conditions and records.
    losses: what a translation may lose: REPORT_LOSSES (grave ones refuse, others are listed), REFUSE_LOSSES (any
    refuses), ACCEPT_LOSSES (all are listed).
    cache: "" as the alias says, NO_STORE (neither read nor written), ONLY (an answer from the cache or NOT_FOUND),
    REFRESH (not read, but written).
    prompt: its messages come before those of the body, which may then have none.
    headed: a stream's first frame is a CompletionHead.
    resumable: a headed stream is kept for a while; its events carry ids, and its head says under which name it is kept
    (none when there is no room).
    """

    model: str
    body: msgspec.Raw
    surface: str = OPENAI_CHAT
    headers: dict[str, str] = {}
    session: str = ""
    labels: dict[str, str] = {}
    losses: str = REPORT_LOSSES
    cache: str = ""
    prompt: Template | None = None
    headed: bool = False
    resumable: bool = False


class Loss(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a translation did not carry: `field` as the caller spells it (`messages.3.content.0`), `what` became of it
    in a sentence. A `grave` one changes what the answer means."""

    field: str
    what: str
    grave: bool = False


class Served(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who answered, and what it used. `cost_nano`: nano-dollars (10^-9 USD) under `price_version`; -1: unknown.

    reason: why this deployment, in a few words. cached: "", "exact" or "semantic".
    upstream_ms: waited for the provider. overhead_ms: spent here, by component, disjoint parts.
    """

    attempt: str
    deployment: str
    model: str
    usage: Usage = Usage()
    cost_nano: int = 0
    price_version: str = ""
    decision: str = ""
    attempts: int = 1
    first_token_ms: float = 0.0
    losses: tuple[Loss, ...] = ()
    reason: str = ""
    cached: str = ""
    upstream_ms: float = 0.0
    overhead_ms: dict[str, float] = {}


class Completion(msgspec.Struct, frozen=True, omit_defaults=True):
    """A whole answer, in the protocol of the request."""

    body: msgspec.Raw
    served: Served


class CompletionHead(msgspec.Struct, frozen=True, tag_field="head", tag=1, omit_defaults=True):
    """The first frame of a stream that was asked for `headed`, as JSON, when it is sure who answers and before anything
    of the answer. `served` has no usage and no cost yet. One that is larger than a frame may be comes in several.

    Who asks tells by HEAD_START whether the router knows of heads. `stream`: the name under which it is kept, "" when
    it is not. `surface`: its protocol, where the request did not say it.
    """

    served: Served
    stream: str = ""
    surface: str = ""


class CompletionEnd(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of a streamed answer, whose frames are whole server-sent events in the protocol of the request."""

    served: Served
    finish: str = ""


class ResumeRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The kept stream of the caller's own, from its event number `after` + 1 on, to its end."""

    stream: str
    after: int = 0


class KeptOpening(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whose a kept stream is, and what it is of. `obliged`: the obligations that it was made under, sorted."""

    subject: str
    alias: str
    surface: str
    served: Served
    obliged: tuple[str, ...] = ()


class KeptFrame(msgspec.Struct, frozen=True, omit_defaults=True):
    """A piece of a kept stream: whole server-sent events, numbered from `n` on. The first piece has an `opening` and no
    events, the last one an `end` or a `failure`; one with nothing is a sign of life."""

    n: int
    events: tuple[bytes, ...] = ()
    opening: KeptOpening | None = None
    end: CompletionEnd | None = None
    failure: FailureBody | None = None


class CountRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many input tokens has this request? `body` in `surface`'s protocol, as sent for an answer or for a count;
    `headers` as in CompletionRequest."""

    model: str
    body: msgspec.Raw
    surface: str = OPENAI_CHAT
    headers: dict[str, str] = {}


class TokenCount(msgspec.Struct, frozen=True, omit_defaults=True):
    """`estimated`: counted by us, not by the provider. `served` where a provider was asked."""

    input_tokens: int
    estimated: bool = False
    served: Served | None = None


class RerankRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Documents to put in order of what they say to `query`, with the alias `model`; `top_n` 0: all of them."""

    model: str
    query: str
    documents: list[str]
    top_n: int = 0


class Ranked(msgspec.Struct, frozen=True):
    """The document at `index` of the request; `score` from 0 to 1, comparable within one answer only."""

    index: int
    score: float


class Reranked(msgspec.Struct, frozen=True, omit_defaults=True):
    """The best first."""

    results: list[Ranked]
    served: Served


class EmbedRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Texts to embed with the alias `model`; `dimensions` 0: as many as the model has."""

    model: str
    texts: list[str]
    dimensions: int = 0


class Embeddings(msgspec.Struct, frozen=True, omit_defaults=True):
    """One vector per text, in order."""

    vectors: list[list[float]]
    served: Served


class ModelsRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which models may the caller use?"""


class ModelInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """One alias. `kinds`: chat, embeddings, rerank."""

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


class ResponseRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """A stored response (OpenAI Responses) of the caller's own."""

    id: str


class StoredResponse(msgspec.Struct, frozen=True, omit_defaults=True):
    """The Response object as the caller saw it."""

    body: msgspec.Raw


class ResponseDeleted(msgspec.Struct, frozen=True, omit_defaults=True):
    """It is gone, and so is every continuation of it."""

    id: str
