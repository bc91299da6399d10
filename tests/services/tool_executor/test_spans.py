"""The span of a tool call: in its caller's trace, and without what was said."""

import json

from penstock.kit.log import Log
from penstock.kit.service import running
from services.tool_executor.main import build
from tests.services.tool_executor.conftest import Plane
from tests.support.otlp_receiver import otlp_receiver

TRACE, CALLER = "a" * 32, "b" * 16


async def test_a_tool_call_is_a_span_that_tells_neither_arguments_nor_results(plane: Plane) -> None:
    plane.tool("visit", parameters={"type": "object"})
    plane.rewrite()
    async with otlp_receiver() as receiver:
        async with running(build, plane.config, "tool_executor", log=Log(plane.lines.append), otel=receiver.env):
            result = await plane.call("visit", {"planted": "argument"}, traceparent=f"00-{TRACE}-{CALLER}-01")
            assert (result.content, result.is_error) == ("visit 1", False)
        span, served = receiver.named("execute_tool visit"), receiver.named("penstock.tool.call.{pool}")
    assert (span.kind, span.trace, span.parent, served.parent) == ("INTERNAL", TRACE, served.id, CALLER)
    assert span.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "visit",
        "penstock.decision": result.decision,
    }
    for planted in ("planted", "argument", "visit 1", plane.token):
        assert planted.encode() not in receiver.raw
    assert any(json.loads(line)["event"] == "spans are exported" for line in plane.lines)
