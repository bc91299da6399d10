"""Delegation: what a child may do and spend is never more than its parent."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.contracts.errors import Code, Failure
from penstock.contracts.policy import Delegate
from penstock.kit.identity import Account, Claims
from services.policy.delegation.allowances import Allowance, Allowances, AllowancesRefused, parse_allowances
from services.policy.delegation.grants import Remaining, check_delegate, forbidden, narrowed, of_key
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
UNBOUNDED = Allowances()


def child_of(
    parent: Claims,
    asked: Delegate = ASKED,
    remaining: Remaining | None = None,
    allowances: Allowances = UNBOUNDED,
    key_expires: float = 0.0,
    lifetime_max_s: float = 86_400.0,
) -> Claims:
    check_delegate(asked)
    assert forbidden(parent, asked, allowances, depth_max=8) == ""
    allowance = allowances.of(parent.tenant, asked.actor)
    left = remaining or Remaining()
    return narrowed(parent, asked, allowance, left, 100.0, lifetime_max_s, key_expires)


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
    assert child_of(PARENT, asked, key_expires=2000.0).exp == 2000.0
    assert child_of(PARENT, asked, lifetime_max_s=600).exp == 700.0


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

    why = forbidden(run, Delegate("run_3", "agent:researcher"), UNBOUNDED, depth_max=8)
    assert why == "agent:researcher is already in the chain: a cycle of delegation is refused"


def test_a_run_does_not_delegate_to_itself() -> None:
    for budget in (0, 5):
        run = child_of(PARENT, Delegate("run_1", "agent:a", budget_nano=budget))
        deeper = child_of(run, Delegate("run_2", "agent:b"))
        for parent in (run, deeper):
            why = forbidden(parent, Delegate("run_1", "agent:c"), UNBOUNDED, depth_max=8)
            assert why == "a run cannot delegate to itself"


def test_a_chain_ends_at_its_greatest_depth() -> None:
    claims = PARENT
    for depth in range(3):
        assert not forbidden(claims, Delegate(f"run_{depth}", f"agent:a{depth}"), UNBOUNDED, depth_max=3)
        claims = child_of(claims, Delegate(f"run_{depth}", f"agent:a{depth}"))

    why = forbidden(claims, Delegate("run_9", "agent:a9"), UNBOUNDED, depth_max=3)
    assert why == "the chain of delegation may be 3 long"


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
        Delegate("run_1", "agent:rese\u0430rcher"),  # a Cyrillic letter that looks like an a
        Delegate("run_1", "\uff41gent:a"),
        Delegate("run_1", "agent:a\n"),
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
    with pytest.raises(Failure) as raised:
        check_delegate(asked)
    assert raised.value.code is Code.INVALID


def test_an_agent_has_no_more_than_its_own_allowance_whoever_asks_it() -> None:
    allowances = parse_allowances(
        'acme: {"agent:researcher": {scopes: ["model.complete", "tool.*"], tools: [sql, shell], usd: 0.000001}}'
    )
    asked = Delegate("run_1", "agent:researcher", budget_nano=5000, budget_tokens=70)

    child = child_of(PARENT, asked, allowances=allowances)

    assert (child.scopes, child.tools) == (("model.complete", "tool.call"), ("sql",))
    assert child.accounts[-1] == Account("run:run_1", 1000, 70)


def test_an_agents_bound_holds_where_nobody_asked_for_one() -> None:
    allowances = parse_allowances(
        '"*": {"agent:*": {scopes: ["*"], tools: ["*"], usd: 0.000001, tokens: 9, lifetime_s: 60}}'
    )

    child = child_of(PARENT, Delegate("run_1", "agent:a", lifetime_s=3600), allowances=allowances)

    assert child.accounts[-1] == Account("run:run_1", 1000, 9)
    assert child.exp == 160.0
    assert child.tools == PARENT.tools


def test_a_star_in_an_allowance_gives_no_elevated_right() -> None:
    star = parse_allowances('acme: {"agent:*": {scopes: ["*"], tools: ["*"]}}')
    named = parse_allowances('acme: {"agent:*": {scopes: ["*", "tools:destructive"], tools: ["*"]}}')

    assert child_of(PARENT, allowances=star).scopes == ("model.*", "tool.call")
    assert child_of(PARENT, allowances=named).scopes == ("model.*", "tool.call", "tools:destructive")


def test_empty_is_none_and_an_agent_without_a_word_about_it_gets_nothing() -> None:
    allowances = parse_allowances('acme: {"agent:a": {scopes: ["model.*"]}}')

    assert child_of(PARENT, Delegate("run_1", "agent:a"), allowances=allowances).tools == ()
    why = forbidden(PARENT, Delegate("run_1", "agent:b"), allowances, depth_max=8)
    assert why == "agent:b has no allowance: it may have nothing"
    assert forbidden(PARENT, Delegate("run_1", "job:chat"), allowances, depth_max=8) == ""


def test_the_nearest_word_about_an_agent_holds() -> None:
    allowances = parse_allowances(
        """
        acme: {"agent:a": {scopes: [model.complete]}, "agent:*": {scopes: [model.embed]}}
        "*": {"agent:*": {scopes: [model.rerank]}, "agent:c": {scopes: [tool.call]}}
        """
    )

    assert allowances.of("acme", "agent:a") == Allowance(("model.complete",))
    assert allowances.of("acme", "agent:c") == Allowance(("model.embed",))
    assert allowances.of("globex", "agent:a") == Allowance(("model.rerank",))
    assert allowances.of("globex", "agent:c") == Allowance(("tool.call",))


def test_an_agent_may_be_one_that_asks_no_other() -> None:
    allowances = parse_allowances(
        'acme: {"agent:leaf": {scopes: ["*"], below: 0}, "agent:*": {scopes: ["*"], below: 1}}'
    )
    leaf = child_of(PARENT, Delegate("run_1", "agent:leaf"), allowances=allowances)
    first = child_of(PARENT, Delegate("run_1", "agent:first"), allowances=allowances)
    second = child_of(first, Delegate("run_2", "agent:second"), allowances=allowances)

    assert forbidden(leaf, ASKED, allowances, 8) == "a run cannot delegate to itself"
    assert forbidden(leaf, Delegate("run_2", "agent:b"), allowances, 8) == "below agent:leaf the chain may be 0 long"
    assert forbidden(second, Delegate("run_3", "agent:c"), allowances, 8) == "below agent:first the chain may be 1 long"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("acme: [", "cannot be read"),
        ('acme: {"agent:a": {scope: ["*"]}}', "cannot be read"),
        ('acme: {"clerk": {}}', "Write agent:<name> in ASCII"),
        ('acme: {"agent:cl\u0435rk": {}}', "Write agent:<name> in ASCII"),
        ('"ac me": {"agent:a": {}}', "is not a tenant"),
        ('acme: {"agent:a": {scopes: ["TOOL"]}}', "'TOOL' is not a scope"),
        ('acme: {"agent:a": {tools: ["sh\u0435ll"]}}', "write names of tools"),
        ('acme: {"agent:a": {usd: -1}}', "is out of range"),
        ('acme: {"agent:a": {tokens: 0}}', "cannot be read"),
    ],
)
def test_allowances_that_cannot_be_meant_are_refused(text: str, sentence: str) -> None:
    with pytest.raises(AllowancesRefused, match=sentence):
        parse_allowances(text)


SCOPES = st.lists(
    st.sampled_from(["*", "tool.*", "tool.call", "model.*", "model.complete", "tools:destructive"]), max_size=4
).map(tuple)
TOOLS = st.lists(st.sampled_from(["*", "a", "b", "c"]), max_size=3).map(tuple)
ACTIONS = ("tool.call", "model.complete", "model.embed", "tools:destructive", "job.submit")
BOUNDS = st.one_of(st.none(), st.tuples(SCOPES, TOOLS, st.floats(1, 9_000), st.integers(1, 500)))
LEFT = st.tuples(st.integers(-1, 300).filter(bool), st.integers(-1, 300).filter(bool))
STEPS = st.lists(
    st.tuples(SCOPES, TOOLS, st.floats(0.1, 1e6), st.integers(0, 400), LEFT, BOUNDS), min_size=1, max_size=6
)
Step = tuple[
    tuple[str, ...],
    tuple[str, ...],
    float,
    int,
    tuple[int, int],
    tuple[tuple[str, ...], tuple[str, ...], float, int] | None,
]


@given(SCOPES, TOOLS, STEPS)
def test_however_deep_a_descendant_has_no_more_than_any_of_its_ancestors_and_its_own_allowance(
    scopes: tuple[str, ...], tools: tuple[str, ...], steps: list[Step]
) -> None:
    ancestors = [msgspec.structs.replace(PARENT, scopes=scopes, tools=tools)]
    for number, (wanted, wanted_tools, lifetime_s, budget, left, bound) in enumerate(steps):
        asked = Delegate(f"run_{number}", f"agent:a{number}", wanted, wanted_tools, budget, budget, lifetime_s)
        own = None if bound is None else Allowance(bound[0], bound[1], tokens=bound[3], lifetime_s=bound[2])
        child = narrowed(ancestors[-1], asked, own, Remaining(*left), 100.0, 86_400.0, 50_000.0)
        for ancestor in ancestors:
            assert all(allows(ancestor.scopes, action) for action in ACTIONS if allows(child.scopes, action))
            assert "*" in ancestor.tools or set(child.tools) <= set(ancestor.tools)
            assert child.accounts[: len(ancestor.accounts)] == ancestor.accounts
            assert not ancestor.run or child.exp <= ancestor.exp
        if own is not None:
            assert all(allows(own.scopes, action) for action in ACTIONS if allows(child.scopes, action))
            assert "*" in own.tools or set(child.tools) <= set(own.tools)
            assert child.accounts[-1].limit_tokens <= (own.tokens or 0)
        for account in child.accounts[len(ancestors[-1].accounts) :]:
            assert left[0] < 0 or account.limit_nano <= left[0]
            assert left[1] < 0 or account.limit_tokens <= left[1]
        assert child.exp <= min(100.0 + lifetime_s, 50_000.0)
        assert (child.chain, child.lineage) == (
            (*ancestors[-1].chain, asked.actor),
            (*ancestors[-1].lineage, asked.run),
        )
        assert (child.tenant, child.sub, child.txn, child.key) == (PARENT.tenant, PARENT.sub, PARENT.txn, PARENT.key)
        ancestors.append(child)
