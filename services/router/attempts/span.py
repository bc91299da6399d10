"""What an attempt's span tells, in the words of OpenTelemetry's conventions for generative AI
(https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/); names and counts, never content.
"""

from urllib.parse import urlsplit

from penstock.contracts.llm import Usage
from penstock.contracts.meta import Meta
from penstock.kit.span import Kind, Span, Tracer
from services.router.models.deployment import Deployment
from services.router.protocols.protocol import Told

OPERATIONS = {"model.complete": "chat", "model.embed": "embeddings", "model.rerank": "rerank"}
PROVIDERS = {"gemini": "gcp.gemini"}
"""Where the conventions have another name for a provider than the models file."""


def begun(tracer: Tracer, action: str, alias: str, deployment: Deployment, attempt: str, meta: Meta) -> Span:
    """The span of one try at one deployment."""
    if not tracer.on:
        return tracer.span(action, Kind.CLIENT, meta)
    operation = OPERATIONS.get(action, action)
    span = tracer.span(f"{operation} {deployment.model}", Kind.CLIENT, meta)
    span.tell("gen_ai.operation.name", operation)
    span.tell("gen_ai.provider.name", PROVIDERS.get(deployment.provider, deployment.provider))
    span.tell("gen_ai.request.model", deployment.model)
    if host := urlsplit(deployment.base_url).hostname:
        span.tell("server.address", host)
    span.tell("penstock.alias", alias)
    span.tell("penstock.deployment", deployment.name)
    span.tell("penstock.attempt", attempt)
    return span


def told(span: Span, decision: str, told: Told, usage: Usage, fault: str) -> None:
    """What is known at its end. `fault`: the kind of what went wrong at the provider, "" for nothing."""
    span.tell("penstock.decision", decision)
    if told.model:
        span.tell("gen_ai.response.model", told.model)
    if told.finish:
        span.tell("gen_ai.response.finish_reasons", (told.finish,))
    if usage.total:
        span.tell("gen_ai.usage.input_tokens", usage.input)
        span.tell("gen_ai.usage.output_tokens", usage.output)
    if fault:
        span.tell("penstock.fault", fault)
