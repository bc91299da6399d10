"""Whether spans are exported, by OpenTelemetry's own settings, and the tracer that follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec

from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.span import UNTRACED, Tracer

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACES_ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
PATH = "/v1/traces"


@dataclass(frozen=True, slots=True)
class SpanLimits:
    """`queue_max` ended spans may wait; up to `batch_max` go in one request, at the latest after `every_s`."""

    queue_max: int
    batch_max: int
    every_s: float


def endpoint(env: Mapping[str, str]) -> str:
    """Where spans go, "" for nowhere (https://opentelemetry.io/docs/specs/otel/protocol/exporter/)."""
    if env.get("OTEL_SDK_DISABLED", "").lower() == "true" or env.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return ""
    if own := env.get(TRACES_ENDPOINT, ""):
        return own
    common = env.get(ENDPOINT, "")
    return common.rstrip("/") + PATH if common else ""


def installed() -> bool:
    """Whether the extra `tracing` is."""
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http.trace_exporter") is not None
    except ModuleNotFoundError:
        return False


def tracer(
    env: Mapping[str, str], service: str, instance: str, limits: SpanLimits, metrics: Metrics, log: Log
) -> Tracer:
    """Without an endpoint, or without the extra, nothing of OpenTelemetry is imported. What else the exporter is told
    (OTEL_EXPORTER_OTLP_HEADERS, _TIMEOUT, _CERTIFICATE, _COMPRESSION) it reads from the process's environment."""
    url = endpoint(env)
    if not url:
        return UNTRACED
    if not installed():
        log.warning("no spans are exported: install penstock[tracing]", because=f"{ENDPOINT} is set")
        return UNTRACED
    # here and not above: 50 ms and 5 MiB that nobody pays who exports nothing
    from penstock.kit.otlp import OtlpTracer

    log.info("spans are exported")
    return OtlpTracer(url, service, instance, limits, metrics, log)
