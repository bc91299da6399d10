"""Delegation: what a child may do and spend is never more than its parent."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.contracts.errors import Code, Failure
from penstock.contracts.policy import Delegate
from penstock.kit.identity import Account, Claims
from services.policy.delegation.grants import Remaining, check_delegate, narrowed, of_key
from services.policy.identity.keys import ApiKey
from services.policy.identity.scopes import allows

PARENT = Claims(
    tenant="acme",
    sub="user:alice",
    exp=1000.0,
    txn="txn_1",
    scopes=("model.*", "tool.call", "tools:destructive"),
    tools=("http_get", "sql"),
    key="abcd1234",
    accounts=(Account("tenant:acme"), Account("user:alice")),
)
ASKED = Delegate("run_1", "agent:researcher")


def child_of(parent: Claims, asked: Delegate = ASKED, remaining: Remaining | None = None) -> Claims:
    check_delegate(parent, asked, depth_max=8)
    return narrowed(parent, asked, remaining or Remaining(), now=100.0, lifetime_max_s=86_400, key_expires=0)


def refused(parent: Claims, asked: Delegate, depth_max: int = 8) -> Code:
    with pytest.raises(Failure) as raised:
        check_delegate(parent, asked, depth_max)
    return raised.value.code


def test_a_key_gives_its_accounts_from_the_widest_to_the_narrowest() -> None:
    key = ApiKey("abcd1234", "", "acme", "user:alice", team="blue", expires=500.0)

    claims = of_key(key, now=100.0, lifetime_s=900, txn="txn_1")

    assert [account.name for account in claims.accounts] == [
        "tenant:acme",
        "team:blue",
        "user:alice",
        "key:abcd1234",
    ]
    assert claims.exp == 500.0


def test_a_child_has_the_parents_transaction_and_one_more_actor() -> None:
    child = child_of(PARENT)

    assert (child.txn, child.sub, child.tenant, child.key) == ("txn_1", "user:alice", "acme", "abcd1234")
    assert child.chain == ("agent:researcher",)
    assert child.run == "run_1"
    assert child.scopes == PARENT.scopes


def test_scopes_and_tools_are_what_is_held_and_asked_for() -> None:
    asked = Delegate("run_1", "agent:a", scopes=("model.complete", "job.submit", "tool.*"), tools=("sql", "shell"))

    child = child_of(PARENT, asked)

    assert child.scopes == ("model.complete", "tool.call")
    assert child.tools == ("sql",)


def test_asking_for_no_tools_is_having_none() -> None:
    assert child_of(PARENT, Delegate("run_1", "agent:a", tools=())).tools == ()


def test_a_run_may_outlive_the_token_it_came_from_but_not_its_key() -> None:
    asked = Delegate("run_1", "agent:a", lifetime_s=3600)

    assert child_of(PARENT, asked).exp == 3700.0
    assert narrowed(PARENT, asked, Remaining(), 100.0, 86_400, key_expires=2000.0).exp == 2000.0
    assert narrowed(PARENT, asked, Remaining(), 100.0, 600, key_expires=0).exp == 700.0


def test_what_a_run_delegates_ends_with_the_run() -> None:
    run = child_of(PARENT)
    run = msgspec.structs.replace(run, exp=400.0)

    assert child_of(run, Delegate("run_2", "agent:b", lifetime_s=3600)).exp == 400.0


def test_a_budget_is_carved_from_what_is_left() -> None:
    asked = Delegate("run_1", "agent:a", budget_nano=500, budget_tokens=50)

    assert child_of(PARENT, asked).accounts[-1] == Account("run:run_1", 500, 50)
    assert child_of(PARENT, asked, Remaining(300, 80)).accounts[-1] == Account("run:run_1", 300, 50)
    with pytest.raises(Failure) as raised:
        child_of(PARENT, asked, Remaining(0, 80))
    assert raised.value.code is Code.BUDGET_EXHAUSTED


def test_a_child_is_paid_from_every_account_above_it() -> None:
    run = child_of(PARENT, Delegate("run_1", "agent:a", budget_nano=500))
    grandchild = child_of(run, Delegate("run_2", "agent:b", budget_nano=200))

    assert [account.name for account in grandchild.accounts] == [
        "tenant:acme",
        "user:alice",
        "run:run_1",
        "run:run_2",
    ]


def test_an_agent_that_is_in_the_chain_already_is_refused() -> None:
    run = child_of(child_of(PARENT), Delegate("run_2", "agent:writer"))

    assert refused(run, Delegate("run_3", "agent:researcher")) is Code.DENIED


def test_a_run_does_not_delegate_to_itself() -> None:
    run = child_of(PARENT, Delegate("run_1", "agent:a", budget_nano=5))

    assert refused(run, Delegate("run_1", "agent:b")) is Code.DENIED
    deeper = child_of(run, Delegate("run_2", "agent:b"))
    assert refused(deeper, Delegate("run_1", "agent:c")) is Code.DENIED


def test_a_chain_ends_at_its_greatest_depth() -> None:
    claims = PARENT
    for depth in range(3):
        check_delegate(claims, Delegate(f"run_{depth}", f"agent:a{depth}"), depth_max=3)
        claims = child_of(claims, Delegate(f"run_{depth}", f"agent:a{depth}"))

    assert refused(claims, Delegate("run_9", "agent:a9"), depth_max=3) is Code.DENIED


@pytest.mark.parametrize(
    "asked",
    [
        Delegate("", "agent:a"),
        Delegate("run.1", "agent:a"),
        Delegate("run_1", ""),
        Delegate("run_1", "researcher"),
        Delegate("run_1", "agent:"),
        Delegate("run_1", "agent:résearcher"),
        Delegate("run_1", "agent:a\u200b"),
        Delegate("run_1", "agent:a", scopes=("t\u03bfol.call",)),
        Delegate("run_1", "agent:a", scopes=("*",) * 65),
        Delegate("run_1", "agent:a", tools=("",)),
        Delegate("run_1", "agent:a", budget_nano=-1),
        Delegate("run_1", "agent:a", budget_tokens=2**60),
        Delegate("run_1", "agent:a", lifetime_s=0),
        Delegate("run_1", "agent:a", lifetime_s=float("nan")),
    ],
)
def test_a_request_that_cannot_be_read_one_way_is_refused(asked: Delegate) -> None:
    assert refused(PARENT, asked) is Code.INVALID


SCOPES = st.lists(
    st.sampled_from(["*", "tool.*", "tool.call", "model.*", "model.complete", "tools:destructive"]), max_size=4
).map(tuple)
TOOLS = st.lists(st.sampled_from(["*", "a", "b", "c"]), max_size=3).map(tuple)
ACTIONS = ("tool.call", "model.complete", "model.embed", "tools:destructive", "job.submit")


@given(SCOPES, TOOLS, st.lists(st.tuples(SCOPES, TOOLS), min_size=1, max_size=5))
def test_however_deep_a_descendant_has_no_more_than_any_of_its_ancestors(
    scopes: tuple[str, ...], tools: tuple[str, ...], steps: list[tuple[tuple[str, ...], tuple[str, ...]]]
) -> None:
    ancestors = [msgspec.structs.replace(PARENT, scopes=scopes, tools=tools)]
    for number, (wanted, wanted_tools) in enumerate(steps):
        asked = Delegate(f"run_{number}", f"agent:a{number}", scopes=wanted, tools=wanted_tools)
        ancestors.append(child_of(ancestors[-1], asked))
    last = ancestors[-1]
    for ancestor in ancestors:
        assert all(allows(ancestor.scopes, action) for action in ACTIONS if allows(last.scopes, action))
        assert "*" in ancestor.tools or set(last.tools) <= set(ancestor.tools)
        assert last.exp <= max(ancestor.exp, 3700.0)
