"""Whether spans are exported, and what becomes of those that cannot be."""

import subprocess
import sys
from pathlib import Path

import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.meta import Meta
from penstock.kit.log import Log
from penstock.kit.metrics import Metrics
from penstock.kit.span import UNTRACED, Kind, Tracer
from penstock.kit.trace import parse
from penstock.kit.tracing import SpanLimits, endpoint, tracer
from tests.support.eventually import eventually
from tests.support.otlp_receiver import otlp_receiver

META = Meta(request="req_1", traceparent=f"00-{'a' * 32}-{'b' * 16}-01")
ROOT = Path(__file__).parents[3]
ON = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.mark.parametrize(
    ("env", "url"),
    [
        ({}, ""),
        ({ON: "http://collector:4318"}, "http://collector:4318/v1/traces"),
        ({ON: "http://collector:4318/"}, "http://collector:4318/v1/traces"),
        ({ON: "http://a", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b/spans"}, "http://b/spans"),
        ({ON: "http://a", "OTEL_SDK_DISABLED": "true"}, ""),
        ({ON: "http://a", "OTEL_TRACES_EXPORTER": "none"}, ""),
    ],
)
def test_the_endpoint_is_where_opentelemetrys_settings_say(env: dict[str, str], url: str) -> None:
    assert endpoint(env) == url


def test_without_an_exporter_a_part_costs_no_span_and_an_entry_has_an_id_all_the_same() -> None:
    assert UNTRACED.span("part", Kind.CLIENT, META).meta is META
    own = parse(UNTRACED.entry("entry", Kind.SERVER, META).meta.traceparent)
    assert own is not None
    assert (own.trace, own.span == "b" * 16) == ("a" * 32, False)


@pytest.mark.parametrize("missing", ["nothing", "opentelemetry"])
def test_nothing_of_opentelemetry_is_imported_where_it_is_not_wanted_or_not_there(missing: str) -> None:
    program = (
        "import sys\n"
        "import services.gateway.main\n"
        "from penstock.kit.log import Log\n"
        "from penstock.kit.metrics import Metrics\n"
        "from penstock.kit.tracing import SpanLimits, tracer\n"
        f"env = {{'{ON}': 'http://127.0.0.1:9'}} if {missing == 'opentelemetry'} else {{}}\n"
        "made = tracer(env, 'router', 'i', SpanLimits(1, 1, 1.0), Metrics(), Log(print))\n"
        "print(made.on, [name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    alone = "import sys; from tests.support.alone import Without; sys.meta_path.insert(0, Without({sys.argv[1]}))\n"
    argv = [sys.executable, "-c", alone + program, missing]
    ran = subprocess.run(
        argv, cwd=ROOT, env={"PYTHONPATH": f"{ROOT}:{ROOT / 'libs'}"}, capture_output=True, text=True, timeout=30
    )
    assert ran.stdout.splitlines()[-1] == "False []", ran.stderr
    assert ("penstock[tracing]" in ran.stdout) is (missing == "opentelemetry")


async def test_what_policy_refused_names_its_decision_and_what_it_allowed_keeps_its_own() -> None:
    async with otlp_receiver() as receiver:
        spans = made(f"http://127.0.0.1:{receiver.port}", Metrics(), [])
        for name, decision in (("refused", ""), ("allowed", "dec_own")):
            with pytest.raises(Failure), spans.span(name, Kind.CLIENT, META) as span:
                if decision:
                    span.tell("penstock.decision", decision)
                raise Failure(Code.DENIED, decision="dec_1")
        with pytest.raises(Failure), spans.span("bare", Kind.CLIENT, META):
            raise Failure(Code.UPSTREAM)
        await spans.close(5.0)
    assert receiver.named("refused").attributes == {"error.type": "denied", "penstock.decision": "dec_1"}
    assert receiver.named("allowed").attributes["penstock.decision"] == "dec_own"
    assert receiver.named("bare").attributes == {"error.type": "upstream"}


def made(url: str, metrics: Metrics, lines: list[str], *, queue_max: int = 100) -> Tracer:
    return tracer({ON: url}, "router", "i1", SpanLimits(queue_max, 10, 0.02), metrics, Log(lines.append))


def count(metrics: Metrics, result: str) -> float:
    return metrics.registry.get_sample_value("penstock_spans_total", {"result": result}) or 0.0


async def test_a_failure_is_told_by_its_code_and_not_by_its_words(metrics: Metrics, lines: list[str]) -> None:
    async with otlp_receiver() as receiver:
        traced = made(receiver.env[ON], metrics, lines)
        with pytest.raises(Failure), traced.span("refused", Kind.CLIENT, META) as span:
            span.tell("penstock.alias", "x" * 1000)
            raise Failure(Code.DENIED, "words that quote a prompt")
        with pytest.raises(KeyError), traced.span("broken", Kind.CLIENT, META):
            raise KeyError("words that quote a key")
        await traced.close(5.0)
    refused, broken = receiver.named("refused"), receiver.named("broken")
    assert refused.attributes == {"error.type": "denied", "penstock.alias": "x" * 256}
    assert broken.attributes == {"error.type": "KeyError"}
    assert (refused.trace, refused.parent, refused.failed) == ("a" * 32, "b" * 16, True)
    assert b"words" not in receiver.raw


async def test_what_the_queue_has_no_room_for_is_dropped_and_counted(metrics: Metrics, lines: list[str]) -> None:
    async with otlp_receiver() as receiver:
        receiver.held = True
        traced = made(receiver.env[ON], metrics, lines, queue_max=20)
        with traced.span("first", Kind.CLIENT, META):
            pass

        async def under_way() -> None:
            assert receiver.requests == 1

        await eventually(under_way)
        for _ in range(50):
            with traced.span("more", Kind.CLIENT, META):
                pass
        assert count(metrics, "dropped") == 30
        receiver.go.set()
        await traced.close(5.0)
        assert (count(metrics, "sent"), len(receiver.spans)) == (21, 21)


async def test_a_receiver_that_refuses_is_said_once_and_counted(metrics: Metrics, lines: list[str]) -> None:
    async with otlp_receiver() as receiver:
        receiver.status = 400
        traced = made(receiver.env[ON], metrics, lines)
        for tries in (1, 2):
            with traced.span("one", Kind.CLIENT, META):
                pass

            async def failed(tries: int = tries) -> None:
                assert count(metrics, "failed") == tries

            await eventually(failed)
        receiver.status = 200
        with traced.span("two", Kind.CLIENT, META):
            pass
        await traced.close(5.0)
    assert [span.name for span in receiver.spans] == ["two"]
    assert sum("are not taken" in line for line in lines) == 1
    assert sum("taken again" in line for line in lines) == 1
