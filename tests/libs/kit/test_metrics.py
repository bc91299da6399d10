"""Metrics as they are scraped."""

from penstock.kit.metrics import SERIES_MAX, Metrics


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_counter_counts_by_its_labels() -> None:
    metrics = Metrics("router")
    metrics.calls.add("penstock.llm.complete", "ok")
    metrics.calls.add("penstock.llm.complete", "ok", by=2)
    metrics.calls.add("penstock.llm.complete", "denied")
    assert sample(metrics, "penstock_calls_total", endpoint="penstock.llm.complete", code="ok") == 3
    assert sample(metrics, "penstock_calls_total", endpoint="penstock.llm.complete", code="denied") == 1


def test_beyond_so_many_series_the_rest_counts_as_other() -> None:
    metrics = Metrics("router")
    for n in range(SERIES_MAX + 25):
        metrics.tool_calls.add(f"tool{n}", "ok")
    assert sample(metrics, "penstock_tool_calls_total", tool="other", status="other") == 25


def test_a_gauge_is_set_moved_or_watched() -> None:
    metrics = Metrics("router")
    metrics.runs_active.set(2)
    metrics.runs_active.move(-1)
    metrics.recorder_queue.watch(lambda: 7.0)
    assert sample(metrics, "penstock_runs_active") == 1
    assert sample(metrics, "penstock_recorder_queue") == 7


def test_model_metrics_have_the_names_of_opentelemetry() -> None:
    metrics = Metrics("router")
    metrics.model_tokens.see(120, "chat", "openai", "small", "input")
    metrics.model_seconds.see(0.3, "chat", "openai", "small", "")
    metrics.first_token_seconds.see(0.05, "chat", "openai", "small")
    text = metrics.render().decode()
    assert 'gen_ai_client_token_usage_bucket{gen_ai_operation_name="chat",gen_ai_provider_name="openai",' in text
    assert "gen_ai_server_request_duration_seconds_sum{" in text
    assert "gen_ai_server_time_to_first_token_seconds_count{" in text


def test_every_metric_has_a_meaning_and_two_services_share_nothing() -> None:
    one, two = Metrics("router"), Metrics("policy")
    one.fail_closed.add("policy")
    assert sample(two, "penstock_boundary_fail_closed_total", reason="policy") is None
    families = list(one.registry.collect())
    assert len(families) > 40
    assert all(family.documentation for family in families)
    assert sample(two, "penstock_service_info", service="policy") == 1
