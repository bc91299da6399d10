"""The router's settings."""

from typing import Annotated

from msgspec import Meta

from penstock.kit.config import Count, KitConfig, Seconds, Secret

Bytes = Annotated[int, Meta(ge=1024)]


class Config(KitConfig, frozen=True, kw_only=True):
    """models_file: aliases and deployments; "" makes one up from the provider keys in the environment (OPENAI_API_KEY,
    ANTHROPIC_API_KEY, GEMINI_API_KEY), or else from the local model's addresses.
    models_check_every_s: how often the file, its scripts and its key files are looked at for changes.
    local_chat_url, local_chat_model, local_embed_url, local_embed_model: OpenAI-wire servers of small models, used when
    no key is set; "" when there are none.
    calls_max, streams_max: requests served at once by this process; above it callers are told that it is overloaded.
    count_timeout_s: a provider that counts tokens; then they are estimated.
    request_timeout_s: all attempts of one request together, when the caller has no sooner deadline.
    attempts_max: tries of one request with one alias; hops_max: with its fallbacks, and keys that were refused, all
    together; rounds_max: tries of one deployment in it; backoff_s, backoff_max_s: the pause before the second round.
    shadows_max: copies of requests under way, for deployments whose answers nobody sees.
    store_url: Valkey or Redis, where routers tell one another of latencies, rests and use, and keep answers; "" when
    each keeps to itself. store_timeout_s: how long it may take for one command; share_every_s: between two reports.
    breaker_failures_max failures in a row put a deployment to rest for breaker_rest_s, doubled up to
    breaker_rest_max_s; a refused key rests for key_rest_s.
    connect_timeout_s, keep_alive_s: connections to providers.
    response_max_bytes: a plain answer; event_max_bytes: one server-sent event; held_max_bytes: start-up events that are
    held back until there is content.
    embed_texts_max: texts in one request.
    screen: whether policy is told what is found in prompts (personal, secrets, hidden_text); false saves that time
    where no policy asks.
    cache_tenant_max_bytes: answers of one tenant that are kept in the store, together; cache_timeout_s: how long the
    store may take before an answer counts as not kept.
    probe_key: an API key, of a workload, whose budget pays for probes and whose rights they need; "" is no probes.
    responses_keep_s: since a stored response (OpenAI Responses) was last made or continued;
    responses_tenant_max_bytes: those of one tenant, as they are packed; responses_history_max_bytes,
    responses_turns_max: of one conversation, unpacked.
    kept_streams_max: streamed answers that are kept for readers who come back, at once; kept_stream_max_bytes: of each;
    kept_tenant_max_bytes: of all those of one tenant that this process keeps; more are not kept, which their heads say;
    kept_sign_s: how often one that is silent says that it is alive; kept_silence_s: after so long without a sign its
    router counts as lost.
    """

    models_file: str = ""
    models_check_every_s: Annotated[float, Meta(gt=0)] = 2.0
    local_chat_url: str = ""
    local_chat_model: str = "smollm2-135m-instruct"
    local_embed_url: str = ""
    local_embed_model: str = "all-minilm-l6-v2"
    calls_max: Count = 512
    streams_max: Count = 1024
    count_timeout_s: Annotated[float, Meta(gt=0)] = 5.0
    request_timeout_s: Annotated[float, Meta(gt=0)] = 600.0
    attempts_max: Count = 4
    hops_max: Count = 12
    rounds_max: Count = 2
    shadows_max: Count = 64
    store_url: Secret = Secret()
    store_timeout_s: Annotated[float, Meta(gt=0)] = 1.0
    share_every_s: Annotated[float, Meta(gt=0)] = 1.0
    probe_key: Secret = Secret()
    backoff_s: Seconds = 0.5
    backoff_max_s: Seconds = 5.0
    breaker_failures_max: Count = 3
    breaker_rest_s: Seconds = 10.0
    breaker_rest_max_s: Seconds = 120.0
    key_rest_s: Seconds = 60.0
    connect_timeout_s: Annotated[float, Meta(gt=0)] = 5.0
    keep_alive_s: Seconds = 60.0
    response_max_bytes: Bytes = 32 * 1024 * 1024
    event_max_bytes: Bytes = 1024 * 1024
    held_max_bytes: Bytes = 64 * 1024
    embed_texts_max: Count = 2048
    screen: bool = True
    cache_timeout_s: Annotated[float, Meta(gt=0)] = 0.25
    cache_tenant_max_bytes: Bytes = 16 * 1024 * 1024
    responses_keep_s: Annotated[float, Meta(gt=0)] = 30 * 24 * 3600.0
    responses_tenant_max_bytes: Bytes = 64 * 1024 * 1024
    responses_history_max_bytes: Bytes = 16 * 1024 * 1024
    responses_turns_max: Count = 1_000
    kept_streams_max: Count = 256
    kept_stream_max_bytes: Bytes = 4 * 1024 * 1024
    kept_tenant_max_bytes: Bytes = 32 * 1024 * 1024
    kept_sign_s: Annotated[float, Meta(gt=0)] = 3.0
    kept_silence_s: Annotated[float, Meta(gt=0)] = 10.0
