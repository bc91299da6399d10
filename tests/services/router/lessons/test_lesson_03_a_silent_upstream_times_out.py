"""An upstream that accepts and says nothing ends at the configured limit, whatever keeps the connection alive; one that
stalls in the middle ends with an error, never as if it were finished."""

import time

import pytest

from penstock.contracts.errors import Code, Failure
from tests.services.router.conftest import Plane, Streamed
from tests.support.model_server import Reply, chunk, events, hang, streamed

ROLE = chunk({"role": "assistant", "content": ""})
PINGS = [b": keep-alive\n\n"] * 200


@pytest.mark.parametrize(
    ("limits", "silence"),
    [
        ({"headers_s": 0.3}, hang()),
        ({"headers_s": 0.3, "first_content_s": 0.3}, events(*PINGS, then="hang", pause_s=0.02)),
        ({"headers_s": 0.3, "first_content_s": 0.3}, events(ROLE, *PINGS, then="hang", pause_s=0.02)),
        ({"total_s": 0.3}, hang()),
    ],
    ids=["no headers", "keep-alives only", "a role and keep-alives", "the total"],
)
async def test_silence_before_content_goes_to_the_next_deployment_at_the_limit(
    plane: Plane, limits: dict[str, float], silence: Reply
) -> None:
    plane.deployments["one"]["timeouts"] = {"headers_s": 20, "first_content_s": 20, "idle_s": 20} | limits
    plane.server.script(silence, model="one")
    plane.server.script(streamed("here"), model="two")
    async with plane.router():
        began = time.monotonic()
        seen = await plane.stream()
        assert 0.3 <= time.monotonic() - began < 3.0
        assert seen.end is not None
        assert seen.end.served.deployment == "two"
        first, _ = await plane.outcomes(2)
        assert (first.deployment, first.code) == ("one", "deadline")


@pytest.mark.parametrize("streaming", [True, False], ids=["streamed", "plain"])
async def test_silence_of_the_only_deployment_is_a_deadline_failure(plane: Plane, streaming: bool) -> None:
    plane.deploy("alone", "single", timeouts={"headers_s": 0.2, "total_s": 0.3})
    plane.server.script(hang(), model="single")
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await (plane.stream("alone") if streaming else plane.complete("alone"))
    assert caught.value.code is Code.DEADLINE
    assert plane.server.under_way == 0


@pytest.mark.parametrize("events_before", [1, 5])
async def test_a_stall_after_some_events_is_an_explicit_failure(plane: Plane, events_before: int) -> None:
    plane.deployments["one"]["timeouts"] = {"idle_s": 0.3}
    content = [chunk({"content": "x"})] * events_before
    plane.server.script(events(ROLE, *content, *PINGS, then="hang", pause_s=0.01), model="one")
    seen = Streamed()
    async with plane.router():
        with pytest.raises(Failure) as caught:
            await plane.stream(into=seen)
    assert (caught.value.code, caught.value.detail) == (Code.DEADLINE, "nothing came for 0.3 s")
    assert seen.end is None
    assert seen.text.count(b'"content":"x"') == events_before
    assert plane.server.asked("two") == 0


async def test_the_caller_s_deadline_ends_the_chain_not_only_the_attempt(plane: Plane) -> None:
    plane.server.script(hang())
    async with plane.router():
        began = time.monotonic()
        with pytest.raises(Failure) as caught:
            await plane.complete(meta=plane.meta(deadline=time.time() + 0.4))
        assert (caught.value.code, time.monotonic() - began < 2.0) == (Code.DEADLINE, True)
