"""Which deployments are tried, in which order, and why others are not."""

import pytest

from penstock.contracts.errors import Code
from services.router.choose import Choice, Need, Standing, choose, nobody
from services.router.fault import FaultKind
from services.router.health import Breaker
from tests.support.deployments import deployment

FIRST, SECOND = deployment("first"), deployment("second")
CHAT = Need("chat")


def names(choice: Choice) -> list[str]:
    return [candidate.deployment.name for candidate in choice.candidates]


def resting(until: float, why: FaultKind = FaultKind.TRANSIENT) -> Standing:
    return Standing(Breaker(3, 1, until, False, why))


def test_the_file_s_order_is_kept_and_told() -> None:
    choice = choose([FIRST, SECOND], CHAT, {}, 0.0)
    assert [(each.deployment.name, each.reason) for each in choice.candidates] == [
        ("first", "number 1 of the alias"),
        ("second", "number 2 of the alias"),
    ]


def test_a_window_that_looks_too_small_goes_last_but_is_not_ruled_out() -> None:
    small = deployment("small", context_tokens=1000)
    choice = choose([small, SECOND], Need("chat", tokens=1001), {}, 0.0)
    assert names(choice) == ["second", "small"]
    assert choice.candidates[1].reason == "about 1001 tokens for a window of 1000"


def test_a_deployment_without_tools_is_no_candidate_for_a_request_with_tools() -> None:
    plain = deployment("plain", tools=False)
    choice = choose([plain, SECOND], Need("chat", tools=True), {}, 0.0)
    assert names(choice) == ["second"]
    assert [(out.deployment.name, out.reason) for out in choice.skipped] == [("plain", "takes no tools")]


def test_a_resting_one_is_left_out_until_its_time() -> None:
    standings = {FIRST.id: resting(until=50.0)}
    assert names(choose([FIRST, SECOND], CHAT, standings, 49.0)) == ["second"]
    assert names(choose([FIRST, SECOND], CHAT, standings, 50.0)) == ["first", "second"]


def test_a_busy_one_is_left_out() -> None:
    one = deployment("one", concurrency_max=2)
    assert names(choose([one, SECOND], CHAT, {one.id: Standing(in_flight=1)}, 0.0)) == ["one", "second"]
    assert names(choose([one, SECOND], CHAT, {one.id: Standing(in_flight=2)}, 0.0)) == ["second"]


@pytest.mark.parametrize(
    ("standings", "code", "retry_after_s"),
    [
        ({FIRST.id: resting(30.0), SECOND.id: resting(20.0)}, Code.UNAVAILABLE, 10.0),
        ({FIRST.id: resting(30.0, FaultKind.RATE), SECOND.id: resting(15.0, FaultKind.RATE)}, Code.RATE_LIMITED, 5.0),
        ({FIRST.id: Standing(in_flight=64), SECOND.id: Standing(in_flight=64)}, Code.OVERLOADED, 1.0),
        ({FIRST.id: resting(30.0, FaultKind.RATE), SECOND.id: Standing(in_flight=64)}, Code.UNAVAILABLE, 1.0),
    ],
)
def test_when_nobody_can_now_the_failure_says_when(
    standings: dict[str, Standing], code: Code, retry_after_s: float
) -> None:
    failure = nobody("chat", choose([FIRST, SECOND], CHAT, standings, 10.0))
    assert (failure.code, failure.retry_after_s) == (code, retry_after_s)


def test_when_nobody_ever_can_the_request_is_refused_with_each_reason() -> None:
    plain, vectors = deployment("plain", tools=False), deployment("vectors", kinds=("embeddings",))
    failure = nobody("chat", choose([plain, vectors], Need("chat", tools=True), {}, 0.0))
    assert failure.code is Code.INVALID
    assert failure.detail == "no deployment of chat can do this (plain: takes no tools; vectors: does no chat)"
    assert failure.param == "model"
