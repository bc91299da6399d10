"""What an alias may say, and what it is refused for when the file is loaded."""

import msgspec
import pytest

from services.router.models.alias_entry import AliasEntry, RuleEntry, aliases
from services.router.models.bad_file import BadModelsFile
from services.router.models.catalogue import Alias
from tests.support.deployments import deployment

NAMES = ("a", "b", "c")
DEPLOYMENTS = {name: deployment(name) for name in NAMES}


def made(**entries: object) -> dict[str, Alias]:
    return aliases({name: msgspec.convert(entry, AliasEntry) for name, entry in entries.items()}, DEPLOYMENTS)


def refusal(**entries: object) -> str:
    with pytest.raises(BadModelsFile) as caught:
        made(**entries)
    return str(caught.value)


def ruled(*rules: object) -> dict[str, object]:
    return {"deployments": ["a", "b"], "rules": list(rules)}


def test_everything_that_an_alias_may_say_is_read() -> None:
    x = made(
        x={
            "deployments": ["a", "b"],
            "strategy": "weighted",
            "rules": [{"name": "long", "when": "tokens > 9000", "use": ["b"], "strategy": "cheapest"}],
            "canary": [{"deployment": "c", "percent": 5}],
            "shadow": [{"deployment": "c", "percent": 1}],
            "fallback": ["y"],
            "hedge_after_s": 2,
        },
        y={"deployments": ["c"]},
    )["x"]
    assert [each.name for each in x.deployments] == ["a", "b"]
    (rule,) = x.rules
    assert rule.when is not None
    assert (rule.name, rule.when.text, rule.deployments[0].name, rule.strategy) == (
        "long",
        "tokens > 9000",
        "b",
        "cheapest",
    )
    assert (x.canaries[0].percent, x.shadows[0].percent) == (5.0, 1.0)
    assert ([each.name for each in x.fallbacks], x.hedge_after_s) == (["y"], 2.0)
    assert {each.name for each in x.everyone()} == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("strategy", "stays"),
    [("priority", False), ("cheapest", False), ("weighted", True), ("least_busy", True), ("usage_aware", True)],
)
def test_sessions_stay_with_a_deployment_where_it_costs_nothing(strategy: str, stays: bool) -> None:
    assert made(x={"deployments": ["a"], "strategy": strategy})["x"].affinity is stays
    assert not made(x={"deployments": ["a"], "strategy": strategy, "affinity": False})["x"].affinity


def test_fallbacks_of_fallbacks_come_after_them_and_each_once() -> None:
    made_ = made(
        w={"deployments": ["a"], "fallback": ["x", "y"]},
        x={"deployments": ["a"], "fallback": ["z"]},
        y={"deployments": ["b"], "fallback": ["z"]},
        z={"deployments": ["c"]},
    )
    assert [each.name for each in made_["w"].path()] == ["w", "x", "z", "y"]


def test_fallbacks_that_go_in_a_circle_are_refused() -> None:
    said = refusal(
        x={"deployments": ["a"], "fallback": ["y"]},
        y={"deployments": ["b"], "fallback": ["z"]},
        z={"deployments": ["c"], "fallback": ["x"]},
    )
    assert said == "the fallbacks of aliases go in a circle: x -> y -> z -> x"
    assert refusal(x={"deployments": ["a"], "fallback": ["x"]}).endswith("x -> x")


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        (ruled({"when": "tokens >", "use": ["a"]}), "rule 1 of alias x: when is no CEL expression"),
        (ruled({"when": "colour == 'red'", "use": ["a"]}), "rule 1 of alias x: when asks for 'colour'"),
        (
            ruled({"name": "never", "when": "tokens > 5 && false", "use": ["a"]}),
            "rule never of alias x can match nothing: 'tokens > 5 && false' is always false",
        ),
        (
            ruled({"use": ["a"]}, {"when": "tools", "use": ["b"]}),
            "rule 2 of alias x can match nothing: the rule before it matches every request",
        ),
        (
            ruled({"when": "true", "use": ["a"]}, {"when": "tools", "use": ["b"]}),
            "rule 2 of alias x can match nothing: the rule before it matches every request",
        ),
        (
            ruled({"when": "tools", "use": ["a"]}, {"when": "tools", "use": ["b"]}),
            "rule 2 of alias x can match nothing: a rule before it has the same condition",
        ),
        (ruled({"when": "tools", "use": ["z"]}), "rule 1 of alias x lists z, which is not under deployments"),
        (ruled({"when": "tools"}), "rule 1 of alias x: write either use"),
        (ruled({"when": "tools", "where": {"region": "moon"}}), "rule 1 of alias x can reach nobody"),
        (ruled({"use": ["a"], "prefer": ["b"]}), "rule 1 of alias x: write either use"),
        ({"deployments": ["a"], "canary": [{"deployment": "z", "percent": 5}]}, "alias x canary lists z"),
        ({"deployments": ["a"], "canary": [{"deployment": "b", "percent": 0}]}, "canary percent must be above 0"),
        (
            {"deployments": ["a"], "canary": [{"deployment": "b", "percent": 60}, {"deployment": "c", "percent": 60}]},
            "the percents of canary come to more than 100",
        ),
        ({"deployments": ["a"], "shadow": [{"deployment": "b", "percent": 101}]}, "shadow percent must be above 0"),
        ({"deployments": ["a"], "fallback": ["nowhere"]}, "alias x falls back to nowhere, which is not under aliases"),
        ({"deployments": ["a"], "hedge_after_s": -1}, "hedge_after_s must be 0 (never) to 3600 seconds"),
    ],
)
def test_a_mistake_is_refused_with_a_sentence(entry: dict[str, object], sentence: str) -> None:
    assert sentence in refusal(x=entry)


def test_where_picks_those_of_the_alias_that_carry_the_labels() -> None:
    east = msgspec.structs.replace(deployment("east"), labels={"region": "eu", "tier": "big"})
    west = msgspec.structs.replace(deployment("west"), labels={"region": "us"})
    entry = AliasEntry(["west", "east"], rules=[RuleEntry(where={"region": "eu"})])
    alias = aliases({"x": entry}, {"east": east, "west": west})["x"]
    assert [each.name for each in alias.rules[0].deployments] == ["east"]


def test_a_fallback_to_vectors_of_another_model_is_refused() -> None:
    first = deployment("first", kinds=("embeddings",), model="m")
    second = deployment("second", kinds=("embeddings",), model="n")
    entries = {"x": AliasEntry(["first"], fallback=["y"]), "y": AliasEntry(["second"])}
    with pytest.raises(BadModelsFile, match="alias x mixes embedding models"):
        aliases(entries, {"first": first, "second": second})
