"""Every metric of every service: its name, its labels, what it means. OpenTelemetry GenAI names where they exist.

Labels are few and bounded: never a tenant, a user, a job. Beyond SERIES_MAX label sets a metric counts under `other`.
"""

from collections.abc import Callable

import prometheus_client as prometheus
from prometheus_client import CollectorRegistry

from penstock.kit.series import OTHER, SERIES_MAX, Counter, Histogram

__all__ = ["CONTENT_TYPE", "SERIES_MAX", "Counter", "Gauge", "Histogram", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Buckets as the OpenTelemetry GenAI conventions advise them.
CALL_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
MODEL_BUCKETS_S = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
FIRST_TOKEN_BUCKETS_S = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
)
TOKEN_BUCKETS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304)
SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Gauge:
    """A value now: set, moved, or asked for when somebody looks."""

    def __init__(self, registry: CollectorRegistry, name: str, meaning: str, *labels: str) -> None:
        self._family = prometheus.Gauge(name, meaning, labels, registry=registry)
        self._children: dict[tuple[str, ...], prometheus.Gauge] = {}

    def set(self, value: float, *labels: str) -> None:
        self._child(labels).set(value)

    def move(self, by: float, *labels: str) -> None:
        self._child(labels).inc(by)

    def watch(self, read: Callable[[], float], *labels: str) -> None:
        """`read` is called when the metrics are rendered (in another thread: it may only look)."""
        self._child(labels).set_function(read)

    def _child(self, labels: tuple[str, ...]) -> prometheus.Gauge:
        child = self._children.get(labels)
        if child is None:
            if len(self._children) >= SERIES_MAX:
                labels = (OTHER,) * len(labels)
            child = self._children[labels] = self._family.labels(*labels) if labels else self._family
        return child


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self, service: str = "") -> None:
        self.registry = CollectorRegistry()
        self._serving(self.registry)
        self._boundary(self.registry)
        self._bus(self.registry)
        self._models(self.registry)
        self._router(self.registry)
        self._routes(self.registry)
        self._work(self.registry)
        self._edge(self.registry)
        self._evidence(self.registry)
        prometheus.Info("penstock_service", "Which service this is.", registry=self.registry).info({"service": service})

    def render(self) -> bytes:
        """All of it in Prometheus' text format. Slow with many series: call it in a thread."""
        return prometheus.generate_latest(self.registry)

    def _serving(self, r: CollectorRegistry) -> None:
        self.calls = Counter(
            r,
            "penstock_calls_total",
            "Calls and streams answered; code is ok or why not.",
            "endpoint",
            "code",
        )
        self.call_seconds = Histogram(
            r,
            "penstock_call_duration_seconds",
            "From the request's arrival at the handler to its answer or its last frame.",
            "endpoint",
            buckets=CALL_BUCKETS_S,
        )
        self.in_flight = Gauge(r, "penstock_calls_in_flight", "Handlers running now.", "endpoint")
        self.ready = Gauge(r, "penstock_ready", "1 when the service is ready, 0 when it is not.")
        self.spans = Counter(
            r,
            "penstock_spans_total",
            "Spans that ended, where they are exported: sent, failed (not taken by the receiver), dropped (no room).",
            "result",
        )
        self.loop_lag_seconds = Gauge(
            r, "penstock_event_loop_lag_seconds", "How late the event loop was, worst of the last interval."
        )

    def _boundary(self, r: CollectorRegistry) -> None:
        self.decisions = Counter(
            r, "penstock_boundary_decisions_total", "Decisions by action and effect.", "action", "effect"
        )
        self.boundary_seconds = Histogram(
            r,
            "penstock_boundary_duration_seconds",
            "How long a decision took.",
            "action",
            buckets=CALL_BUCKETS_S,
        )
        self.fail_closed = Counter(
            r,
            "penstock_boundary_fail_closed_total",
            "Actions refused since no decision could be had or recorded: policy, audit, obligation.",
            "reason",
        )
        self.fail_open = Counter(
            r,
            "penstock_boundary_fail_open_total",
            "Actions that went on though policy could not be asked, since a @fail_open rule had permitted the same.",
            "action",
        )
        self.outcomes = Counter(
            r, "penstock_boundary_outcomes_total", "Outcomes by action and status.", "action", "status"
        )
        self.recorder_queue = Gauge(r, "penstock_recorder_queue", "Audit records waiting for the broker.")
        self.recorder_groups = Counter(r, "penstock_recorder_groups_total", "Appends to the audit stream.")
        self.recorder_group_size = Histogram(
            r, "penstock_recorder_group_size", "Audit records in one append.", buckets=SIZE_BUCKETS
        )
        self.recorder_seconds = Histogram(
            r,
            "penstock_recorder_lag_seconds",
            "From a record's arrival to the broker's acknowledgement: the oldest of each append.",
            buckets=CALL_BUCKETS_S,
        )
        self.recorder_failures = Counter(
            r, "penstock_recorder_failures_total", "Appends that failed and were tried again."
        )
        self.records_lost = Counter(r, "penstock_recorder_lost_total", "Audit records lost at shutdown.")

    def _bus(self, r: CollectorRegistry) -> None:
        self.bus_connected = Gauge(r, "penstock_bus_connected", "1 while the broker is connected.")
        self.bus_reconnects = Counter(r, "penstock_bus_reconnects_total", "Times the broker came back.")
        self.tokens_verified = Counter(
            r, "penstock_identity_tokens_total", "Tokens looked at: cached, verified, refused, revoked.", "result"
        )

    def _work(self, r: CollectorRegistry) -> None:
        self.work = Counter(
            r,
            "penstock_work_deliveries_total",
            "Tries at work items; result is done, retry, exhausted, released, discarded or cancelled.",
            "work",
            "result",
        )
        self.work_seconds = Histogram(
            r, "penstock_work_duration_seconds", "One try at one work item.", "work", buckets=CALL_BUCKETS_S
        )
        self.events = Counter(r, "penstock_events_total", "Events handled by a listener.", "consumer", "result")
        self.dead_letters = Counter(
            r,
            "penstock_dead_letters_total",
            "Messages put away since they cannot be handled.",
            "store",
            "code",
        )
        self.runs = Counter(r, "penstock_runs_total", "Runs that ended, by kind and status.", "kind", "status")
        self.runs_active = Gauge(r, "penstock_runs_active", "Runs this worker is carrying out.")
        self.steps = Counter(r, "penstock_run_steps_total", "Steps of runs, by name and status.", "step", "status")
        self.tool_calls = Counter(r, "penstock_tool_calls_total", "Tool calls by tool and status.", "tool", "status")
        self.tool_seconds = Histogram(
            r, "penstock_tool_call_duration_seconds", "One tool call.", "tool", buckets=CALL_BUCKETS_S
        )

    def _models(self, r: CollectorRegistry) -> None:
        self.model_tokens = Histogram(
            r,
            "gen_ai_client_token_usage",
            "Tokens of one attempt (OpenTelemetry gen_ai.client.token.usage).",
            "gen_ai_operation_name",
            "gen_ai_provider_name",
            "gen_ai_request_model",
            "gen_ai_token_type",
            buckets=TOKEN_BUCKETS,
        )
        self.model_seconds = Histogram(
            r,
            "gen_ai_server_request_duration_seconds",
            'One attempt at one deployment (OpenTelemetry gen_ai.server.request.duration); error_type "" is success.',
            "gen_ai_operation_name",
            "gen_ai_provider_name",
            "gen_ai_request_model",
            "error_type",
            buckets=MODEL_BUCKETS_S,
        )
        self.first_token_seconds = Histogram(
            r,
            "gen_ai_server_time_to_first_token_seconds",
            "Time to the first token of a stream (OpenTelemetry gen_ai.server.time_to_first_token).",
            "gen_ai_operation_name",
            "gen_ai_provider_name",
            "gen_ai_request_model",
            buckets=FIRST_TOKEN_BUCKETS_S,
        )
        self.output_token_seconds = Histogram(
            r,
            "gen_ai_server_time_per_output_token_seconds",
            "Between the tokens after the first (OpenTelemetry gen_ai.server.time_per_output_token).",
            "gen_ai_operation_name",
            "gen_ai_provider_name",
            "gen_ai_request_model",
            buckets=CALL_BUCKETS_S,
        )

    def _router(self, r: CollectorRegistry) -> None:
        self.overhead_seconds = Histogram(
            r,
            "penstock_overhead_seconds",
            "What one good attempt took besides its provider: policy, translation, other.",
            "component",
            buckets=CALL_BUCKETS_S,
        )
        self.attempts = Counter(
            r, "penstock_attempts_total", "Attempts at a deployment, by result.", "deployment", "code"
        )
        self.deployment_usable = Gauge(
            r,
            "penstock_deployment_usable",
            "1 while the deployment is chosen, 0 while it rests.",
            "deployment",
        )
        self.cost_nano = Counter(r, "penstock_cost_nanodollars_total", "What attempts cost, 10^-9 USD.", "deployment")
        self.cache_lookups = Counter(
            r, "penstock_cache_lookups_total", "Answers looked for in the cache: exact, semantic, none.", "result"
        )
        self.cache_saved_nano = Counter(
            r, "penstock_cache_saved_nanodollars_total", "What kept answers would have cost again, 10^-9 USD."
        )

    def _routes(self, r: CollectorRegistry) -> None:
        self.hedges = Counter(
            r,
            "penstock_hedges_total",
            "Second attempts beside a first that was slow; deployment is the second one.",
            "deployment",
        )
        self.shadows = Counter(
            r, "penstock_shadow_copies_total", "Copies of requests whose answers nobody sees.", "deployment", "code"
        )
        self.disconnects = Counter(
            r,
            "penstock_stream_disconnects_total",
            "Readers who left a streamed answer, by what became of it: cancel, drain, spool, full (no room to drain).",
            "deployment",
            "how",
        )
        self.probes = Counter(
            r,
            "penstock_probes_total",
            "Probes of a deployment by result: ok, no_usage, no_end, a kind of fault, refused (policy), no_token.",
            "deployment",
            "result",
        )
        self.probe_seconds = Histogram(
            r,
            "penstock_probe_duration_seconds",
            "One probe of a deployment, whole or streamed, that was answered.",
            "deployment",
            "streamed",
            buckets=MODEL_BUCKETS_S,
        )
        self.probe_well = Gauge(
            r, "penstock_probe_well", "1 when the last probe of the deployment was ok, 0 when it was not.", "deployment"
        )
        self.health_shared = Gauge(
            r,
            "penstock_router_health_shared",
            "1 while what is known of deployments is shared with other routers, 0 while each knows only its own.",
        )

    def _edge(self, r: CollectorRegistry) -> None:
        self.http_requests = Counter(r, "penstock_http_requests_total", "Requests at the edge.", "route", "status")
        self.http_seconds = Histogram(
            r,
            "penstock_http_request_duration_seconds",
            "From a request's arrival to the end of its answer.",
            "route",
            buckets=CALL_BUCKETS_S,
        )
        self.http_in_flight = Gauge(r, "penstock_http_requests_in_flight", "Requests at the edge now.")

    def _evidence(self, r: CollectorRegistry) -> None:
        self.audit_records = Counter(r, "penstock_audit_records_total", "Records put into the log.", "type")
        self.audit_size = Gauge(r, "penstock_audit_log_size", "Leaves in the log.")
        self.audit_checkpoint_size = Gauge(r, "penstock_audit_checkpoint_size", "Leaves under the last checkpoint.")
        self.audit_checkpoint_lag_seconds = Gauge(
            r, "penstock_audit_checkpoint_lag_seconds", "Age of the oldest leaf that no checkpoint covers; 0: none."
        )
        self.audit_orphans = Gauge(r, "penstock_audit_orphans", "Decisions whose outcome is overdue.")
        self.policy_callouts = Counter(
            r,
            "penstock_policy_callouts_total",
            "Clients of the broker that were admitted, refused, or refused unseen after many wrong keys (limited).",
            "result",
        )
        self.policy_connections_ended = Counter(
            r, "penstock_policy_connections_ended_total", "Connections to the broker whose key was good no more."
        )
        self.policy_bundle_errors = Counter(r, "penstock_policy_bundle_errors_total", "Bundles that were refused.")
        self.policy_bundle_number = Gauge(
            r, "penstock_policy_bundle_number", "Number of the publication that is in force; 0: the folder's bundle."
        )
        self.approvals = Counter(
            r,
            "penstock_approvals_total",
            "What became of approvals: asked, reminder, approved, denied, expired, used, refused (too many).",
            "event",
        )
        self.approvals_waiting = Gauge(r, "penstock_approvals_waiting", "Approvals that wait for an answer.")
        self.reserved_nano = Counter(
            r, "penstock_policy_reserved_nanodollars_total", "Money reserved with decisions, 10^-9 USD."
        )
        self.account_alerts = Counter(
            r,
            "penstock_policy_account_alerts_total",
            "Thresholds of limits that were reached, by what is limited (nano, tokens, requests) and percent.",
            "measure",
            "percent",
        )
        self.settled_nano = Counter(
            r, "penstock_policy_settled_nanodollars_total", "Money settled from outcomes, 10^-9 USD."
        )
