"""What the doctor finds where nothing of a plane is needed."""

import pytest

from penstock.cli.examine import Finding, tracing
from tests.support.otlp_receiver import otlp_receiver

ON = "OTEL_EXPORTER_OTLP_ENDPOINT"


async def found(env: dict[str, str]) -> Finding:
    finding = await tracing(env)
    assert finding is not None
    return finding


async def test_spans_that_are_not_exported_are_off() -> None:
    for env in ({}, {ON: "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}):
        finding = await found(env)
        assert (finding.state, finding.detail) == ("good", f"off; {ON} turns it on")


async def test_a_receiver_that_is_there_is_named() -> None:
    async with otlp_receiver() as receiver:
        finding = await found(receiver.env)
    assert (finding.state, finding.detail) == ("good", f"on, spans go to 127.0.0.1:{receiver.port}")


@pytest.mark.parametrize("url", ["http://user:secret@127.0.0.1:9", "http:///", "127.0.0.1:9"])
async def test_a_receiver_that_is_not_there_is_a_finding_without_its_credentials(url: str) -> None:
    finding = await found({ON: url})
    assert finding.state == "bad"
    assert "collector" in finding.todo
    assert "secret" not in finding.detail
