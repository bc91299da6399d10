"""Which deployments are tried, in which order, and why others are not."""

from collections import Counter

import msgspec
import pytest

from penstock.contracts.errors import Code
from services.router.choosing.choose import Choice, choose, copies, nobody
from services.router.choosing.health import Breaker
from services.router.choosing.latency import Latency
from services.router.choosing.minute import Minute
from services.router.choosing.request import Need
from services.router.choosing.standing import Elsewhere, Standing
from services.router.choosing.strategy import Strategy
from services.router.fault import FaultKind
from services.router.models.catalogue import Alias, Rule, Share
from services.router.models.condition import Condition
from services.router.models.deployment import Abilities, Deployment, Probing
from services.router.models.price import Rates
from tests.support.deployments import deployment

FIRST, SECOND, THIRD = deployment("first"), deployment("second"), deployment("third")
CHAT = Need("chat")


def alias(*deployments: Deployment, strategy: Strategy = "priority", affinity: bool = False) -> Alias:
    return Alias("chat", deployments or (FIRST, SECOND), strategy, affinity=affinity)


def names(choice: Choice) -> list[str]:
    return [candidate.deployment.name for candidate in choice.candidates]


def reasons(choice: Choice) -> list[str]:
    return [candidate.reason for candidate in choice.candidates]


def resting(until: float, why: FaultKind = FaultKind.TRANSIENT) -> Standing:
    return Standing(Breaker(3, 1, until, False, why))


def firsts(
    of: Alias, need: Need = CHAT, standings: dict[str, Standing] | None = None, draws: int = 2000
) -> Counter[str]:
    return Counter(names(choose(of, need, standings or {}, 0.0, str(draw)))[0] for draw in range(draws))


def test_the_file_s_order_is_kept_and_told() -> None:
    choice = choose(alias(), CHAT, {}, 0.0)
    assert [(each.deployment.name, each.reason) for each in choice.candidates] == [
        ("first", "number 1 of the alias"),
        ("second", "number 2 of the alias"),
    ]


def test_a_lower_priority_number_goes_before_the_file_s_order() -> None:
    choice = choose(alias(deployment("spare", priority=1), FIRST, SECOND), CHAT, {}, 0.0)
    assert names(choice) == ["first", "second", "spare"]


def test_a_window_that_looks_too_small_goes_last_but_is_not_ruled_out() -> None:
    small = deployment("small", context_tokens=1000)
    choice = choose(alias(small, SECOND), Need("chat", tokens=1001), {}, 0.0)
    assert names(choice) == ["second", "small"]
    assert choice.candidates[1].reason == "about 1001 tokens for a window of 1000"


@pytest.mark.parametrize(
    ("need", "lacking", "reason"),
    [
        (Need("chat", tools=True), Abilities(tools=False), "takes no tools"),
        (Need("chat", schema=True), Abilities(schema=False), "keeps to no schema"),
        (Need("chat", images=True), Abilities(images=False), "takes no images"),
        (Need("chat", documents=True), Abilities(documents=False), "takes no documents"),
        (Need("chat", audio=True), Abilities(audio=False), "takes no audio"),
        (Need("chat", reasoning=True), Abilities(reasoning=False), "takes no wish for reasoning"),
    ],
)
def test_who_cannot_honour_a_request_is_no_candidate(need: Need, lacking: Abilities, reason: str) -> None:
    plain = deployment("plain", abilities=lacking)
    choice = choose(alias(plain, SECOND), need, {}, 0.0)
    assert names(choice) == ["second"]
    assert [(out.deployment.name, out.reason, out.lasting) for out in choice.skipped] == [("plain", reason, True)]


def test_a_caller_who_accepts_losses_gets_those_who_cannot_honour_it_after_all_others() -> None:
    plain = deployment("plain", abilities=Abilities(tools=False, schema=False))
    choice = choose(alias(plain, SECOND), Need("chat", tools=True, schema=True, lossy_ok=True), {}, 0.0)
    assert names(choice) == ["second", "plain"]
    assert choice.candidates[1].reason == "takes no tools, keeps to no schema, and the caller accepts that"


def test_a_resting_one_is_left_out_until_its_time() -> None:
    standings = {FIRST.id: resting(until=50.0)}
    assert names(choose(alias(), CHAT, standings, 49.0)) == ["second"]
    assert names(choose(alias(), CHAT, standings, 50.0)) == ["first", "second"]


def test_one_with_several_keys_is_left_out_when_all_of_them_rest() -> None:
    pair = deployment("pair", keys=("sk-a", "sk-b"))
    dead = Breaker(1, 1, 50.0, False, FaultKind.KEY)
    assert names(choose(alias(pair, SECOND), CHAT, {pair.id: Standing(keys=(dead,))}, 10.0)) == ["pair", "second"]
    both = {pair.id: Standing(keys=(dead, Breaker(1, 1, 30.0, False, FaultKind.RATE)))}
    choice = choose(alias(pair, SECOND), CHAT, both, 10.0)
    assert names(choice) == ["second"]
    assert (choice.skipped[0].reason, choice.skipped[0].retry_after_s) == ("resting after a fault: rate", 20.0)


def test_a_busy_one_is_left_out() -> None:
    one = deployment("one", concurrency_max=2)
    assert names(choose(alias(one, SECOND), CHAT, {one.id: Standing(in_flight=1)}, 0.0)) == ["one", "second"]
    assert names(choose(alias(one, SECOND), CHAT, {one.id: Standing(in_flight=2)}, 0.0)) == ["second"]


def test_one_whose_minute_is_used_up_is_left_out_until_the_next() -> None:
    one = deployment("one", rpm=10, tpm=1000)
    full = {one.id: Standing(minute=Minute(0.0, 10, 0))}
    choice = choose(alias(one, SECOND), CHAT, full, 20.0)
    assert names(choice) == ["second"]
    out = choice.skipped[0]
    assert (out.reason, out.retry_after_s, out.limited) == ("its 10 requests a minute are used up", 40.0, True)
    spent = {one.id: Standing(minute=Minute(0.0, 1, 800))}
    assert names(choose(alias(one, SECOND), Need("chat", tokens=201), spent, 20.0)) == ["second"]
    assert names(choose(alias(one, SECOND), Need("chat", tokens=200), spent, 20.0)) == ["one", "second"]


def test_what_other_routers_used_of_a_minute_counts_too() -> None:
    one = deployment("one", rpm=10)
    standing = Standing(minute=Minute(0.0, 4), elsewhere=Elsewhere(requests=6))
    assert names(choose(alias(one, SECOND), CHAT, {one.id: standing}, 20.0)) == ["second"]


def test_a_request_larger_than_a_whole_minute_goes_when_nothing_else_does() -> None:
    one = deployment("one", tpm=1000)
    assert names(choose(alias(one), Need("chat", tokens=5000), {}, 20.0)) == ["one"]


def test_weights_are_the_shares_of_first_places() -> None:
    counts = firsts(alias(deployment("three", weight=3), deployment("one", weight=1), strategy="weighted"))
    assert 1400 < counts["three"] < 1600
    choice = choose(alias(deployment("three", weight=3), deployment("one"), strategy="weighted"), CHAT, {}, 0.0, "x")
    assert set(reasons(choice)) == {"weighted: 75 %", "weighted: 25 %"}


def test_the_faster_of_two_drawn_at_random_goes_first() -> None:
    standings = {
        FIRST.id: Standing(whole=Latency(0.5, 0.0)),
        SECOND.id: Standing(whole=Latency(0.1, 0.0)),
        THIRD.id: Standing(whole=Latency(0.9, 0.0)),
    }
    of = alias(FIRST, SECOND, THIRD, strategy="least_latency")
    counts = firsts(of, standings=standings)
    assert counts["third"] == 0
    assert 1200 < counts["second"] < 1460
    assert counts["first"] == 2000 - counts["second"]


def test_calls_under_way_count_against_the_fast() -> None:
    standings = {
        FIRST.id: Standing(whole=Latency(0.2, 0.0), in_flight=4),
        SECOND.id: Standing(whole=Latency(0.6, 0.0), in_flight=0),
    }
    choice = choose(alias(strategy="least_latency"), CHAT, standings, 0.0, "x")
    assert names(choice) == ["second", "first"]
    assert reasons(choice)[1] == "by speed, 1 s"


def test_streams_are_compared_by_their_first_content() -> None:
    standings = {
        FIRST.id: Standing(first=Latency(0.1, 0.0), whole=Latency(9.0, 0.0)),
        SECOND.id: Standing(first=Latency(0.3, 0.0), whole=Latency(3.0, 0.0)),
    }
    of = alias(strategy="least_latency")
    assert names(choose(of, Need("chat", streamed=True), standings, 0.0))[0] == "first"
    assert names(choose(of, Need("chat"), standings, 0.0))[0] == "second"


def test_the_least_busy_for_its_weight_goes_first() -> None:
    large = deployment("large", weight=4)
    standings = {large.id: Standing(in_flight=7), SECOND.id: Standing(in_flight=1, elsewhere=Elsewhere(in_flight=1))}
    choice = choose(alias(SECOND, large, strategy="least_busy"), CHAT, standings, 0.0)
    assert names(choice) == ["large", "second"]
    assert reasons(choice) == ["7 calls under way", "2 calls under way"]


def test_the_cheapest_that_qualifies_goes_first_and_an_unknown_price_last() -> None:
    dear, cheap = deployment("dear"), deployment("cheap", rates=Rates(100_000_000, 400_000_000, 0, 0))
    unknown = deployment("unknown", rates=None)
    cheapest = deployment("cheapest", rates=Rates(0, 0, 0, 0), abilities=Abilities(tools=False))
    of = alias(unknown, dear, cheap, cheapest, strategy="cheapest")
    choice = choose(of, Need("chat", tools=True, tokens=2000, output_tokens=1000), {}, 0.0)
    assert names(choice) == ["cheap", "dear", "unknown"]
    assert reasons(choice) == ["about 0.0005 USD", "about 0.0125 USD", "price unknown"]


def test_the_most_headroom_of_a_minute_goes_first() -> None:
    one, two = deployment("one", rpm=100, tpm=10_000), deployment("two", rpm=10)
    standings = {one.id: Standing(minute=Minute(0.0, 10, 6_000)), two.id: Standing(minute=Minute(0.0, 3))}
    choice = choose(alias(one, two, strategy="usage_aware"), Need("chat", tokens=1000), standings, 0.0)
    assert names(choice) == ["two", "one"]
    assert reasons(choice) == ["60 % of its minute left", "30 % of its minute left"]


def test_a_rule_that_holds_says_who_may_be_asked() -> None:
    rules = (Rule("long", Condition("tokens > 9000"), (THIRD,)), Rule("rest", None, (SECOND, FIRST)))
    of = Alias("chat", (FIRST, SECOND), rules=rules)
    long = choose(of, Need("chat", tokens=9001), {}, 0.0)
    assert (names(long), reasons(long), long.rule) == (["third"], ["rule long: number 1 of the alias"], "long")
    assert names(choose(of, Need("chat", tokens=10), {}, 0.0)) == ["second", "first"]


def test_a_rule_that_prefers_leaves_the_others_for_later() -> None:
    of = Alias("chat", (FIRST, SECOND), rules=(Rule("r", Condition("labels.team == 'red'"), (SECOND,), True),))
    assert names(choose(of, Need("chat", labels={"team": "red"}), {}, 0.0)) == ["second", "first"]
    assert names(choose(of, Need("chat"), {}, 0.0)) == ["first", "second"]
    unwell = {SECOND.id: resting(50.0)}
    assert names(choose(of, Need("chat", labels={"team": "red"}), unwell, 0.0)) == ["first"]


def test_a_canary_gets_its_share_of_requests_and_its_failures_go_to_the_others() -> None:
    of = Alias("chat", (FIRST,), canaries=(Share(THIRD, 10.0),))
    counts = firsts(of)
    assert 150 < counts["third"] < 250
    choice = next(choice for draw in range(100) if names(choice := choose(of, CHAT, {}, 0.0, str(draw)))[0] == "third")
    assert names(choice) == ["third", "first"]
    assert reasons(choice)[0] == "canary for 10 %: number 1 of the alias"


def test_a_session_meets_the_canary_always_or_never() -> None:
    of = Alias("chat", (FIRST,), canaries=(Share(THIRD, 50.0),))
    for session in ("s1", "s2", "s3", "s4"):
        assert len(firsts(of, Need("chat", session=session), draws=50)) == 1
    assert len({min(firsts(of, Need("chat", session=str(each)), draws=1)) for each in range(20)}) == 2


def test_copies_are_cast_by_percentage_for_who_can_take_them() -> None:
    of = Alias("chat", (FIRST,), shadows=(Share(THIRD, 25.0),))
    cast = [copies(of, CHAT, {}, 0.0, str(draw)) for draw in range(2000)]
    assert 430 < sum(map(bool, cast)) < 570
    assert {each.name for copied in cast for each in copied} == {"third"}
    assert not any(copies(of, CHAT, {THIRD.id: resting(5.0)}, 0.0, str(draw)) for draw in range(50))
    assert not any(copies(of, Need("embeddings"), {}, 0.0, str(draw)) for draw in range(50))


FOUR = tuple(deployment(name) for name in ("a", "b", "c", "d"))


@pytest.mark.parametrize("strategy", ["weighted", "least_latency", "least_busy", "usage_aware"])
def test_a_session_stays_with_one_deployment(strategy: Strategy) -> None:
    of = alias(*FOUR, strategy=strategy, affinity=True)
    assert len(firsts(of, Need("chat", session="s1"), draws=50)) == 1
    assert {min(firsts(of, Need("chat", session=str(each)), draws=1)) for each in range(40)} == {"a", "b", "c", "d"}


def test_when_a_deployment_goes_only_its_own_sessions_move() -> None:
    whole, less = (
        alias(*FOUR, strategy="least_busy", affinity=True),
        alias(*FOUR[:3], strategy="least_busy", affinity=True),
    )
    for each in range(60):
        need = Need("chat", session=str(each))
        before, after = names(choose(whole, need, {}, 0.0))[0], names(choose(less, need, {}, 0.0))[0]
        assert before in ("d", after)


def test_affinity_overrides_neither_health_nor_fit_nor_a_crowd() -> None:
    of = alias(*FOUR, strategy="least_busy", affinity=True)
    need = Need("chat", session="s1", tokens=500)
    home = choose(of, need, {}, 0.0).candidates[0].deployment
    assert choose(of, need, {}, 0.0).candidates[0].reason == "its session is here"
    assert home.name not in names(choose(of, need, {home.id: resting(9.0)}, 0.0))
    crowded = {home.id: Standing(in_flight=20), **{each.id: Standing(in_flight=2) for each in FOUR if each != home}}
    assert names(choose(of, need, crowded, 0.0))[0] != home.name
    busy = {each.id: Standing(in_flight=10) for each in FOUR}
    assert names(choose(of, need, busy, 0.0))[0] == home.name


def test_a_choice_explains_itself() -> None:
    choice = choose(alias(FIRST, deployment("plain", tools=False)), Need("chat", tools=True), {}, 0.0)
    assert choice.explained() == ["1. first: number 1 of the alias", "-. plain: takes no tools"]


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
    failure = nobody("chat", choose(alias(), CHAT, standings, 10.0))
    assert (failure.code, failure.retry_after_s) == (code, retry_after_s)


def test_when_nobody_ever_can_the_request_is_refused_with_each_reason() -> None:
    plain, vectors = deployment("plain", tools=False), deployment("vectors", kinds=("embeddings",))
    failure = nobody("chat", choose(alias(plain, vectors), Need("chat", tools=True), {}, 0.0))
    assert failure.code is Code.INVALID
    assert failure.detail == "no deployment of chat can do this (plain: takes no tools; vectors: does no chat)"
    assert failure.param == "model"


def test_after_a_rest_others_are_asked_until_the_probe_has_tried_or_does_not_come() -> None:
    probed = msgspec.structs.replace(FIRST, probe=Probing(60.0))
    standings = {probed.id: resting(until=100.0)}

    def at(now: float) -> list[str]:
        return names(choose(alias(probed, SECOND), CHAT, standings, now))

    assert [at(99.0), at(100.5), at(104.9), at(105.0)] == [
        ["second"],
        ["second", "first"],
        ["second", "first"],
        ["first", "second"],
    ]
    assert names(choose(alias(FIRST, SECOND), CHAT, standings, 100.5)) == ["first", "second"]
    alone = choose(alias(probed), CHAT, standings, 100.5)
    assert reasons(alone) == ["nobody else is left, and its probe has not said yet whether it is well"]


def test_keys_that_all_wait_to_be_tried_wait_for_the_probe_too() -> None:
    probed = msgspec.structs.replace(deployment("first", keys=("a", "b")), probe=Probing(60.0))
    dead = Breaker(1, 1, 100.0, False, FaultKind.KEY)
    both, one = {probed.id: Standing(keys=(dead, dead))}, {probed.id: Standing(keys=(dead,))}
    assert names(choose(alias(probed, SECOND), CHAT, both, 101.0)) == ["second", "first"]
    assert names(choose(alias(probed, SECOND), CHAT, one, 101.0)) == ["first", "second"]
