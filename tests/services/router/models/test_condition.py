"""Conditions over requests, in CEL."""

import pytest

from services.router.choosing.request import Need
from services.router.models.condition import BadCondition, Condition

REQUEST = Need(
    "chat",
    tools=True,
    tokens=5000,
    surface="openai.chat",
    session="s1",
    labels={"team": "red"},
    tenant="acme",
    user="user:alice",
    budget_left_usd=0.75,
).facts()


@pytest.mark.parametrize(
    "text",
    [
        "tokens > 4000",
        "tools && tokens > 4000 && !images",
        "labels.team == 'red'",
        "has(labels.team) && !has(labels.urgent)",
        "labels.exists(name, labels[name] == 'red')",
        "budget_left_usd < 1.0",
        "tenant == 'acme' && user.endsWith(':alice')",
        "surface.startsWith('openai.')",
        "session != ''",
        "kind in ['chat', 'embeddings']",
    ],
)
def test_what_is_true_of_a_request_holds(text: str) -> None:
    assert Condition(text).holds(REQUEST)


@pytest.mark.parametrize("text", ["tokens > 6000", "labels.absent == 'x'", "labels['absent'] == 'x'", "streamed"])
def test_what_is_false_or_cannot_be_said_of_a_request_does_not_hold(text: str) -> None:
    assert not Condition(text).holds(REQUEST)


@pytest.mark.parametrize(
    ("text", "constant"),
    [
        ("true", True),
        ("1 == 2", False),
        ("false && tokens > 5", False),
        ("tokens > 5 && false", False),
        ("tools || true", True),
        ("tokens > 5", None),
    ],
)
def test_what_no_request_can_change_is_known(text: str, constant: bool | None) -> None:
    assert Condition(text).constant is constant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "must be 1 to 4096 characters"),
        ("tokens >", "is no CEL expression: Failed to parse"),
        ("toknes > 5", "asks for 'toknes', and there is only audio, budget_left_usd,"),
        ("false && nope", "asks for 'nope'"),
        ("tokens", "gives something that is neither true nor false"),
        ("'yes'", "is always 'yes', which is neither true nor false"),
        ("tokens > 'many'", "can be evaluated for no request: are its types right?"),
        ("tokens > 5 && lookup(session)", "calls 'lookup', and there is only bool, contains,"),
        ("x" * 5000, "must be 1 to 4096 characters"),
    ],
)
def test_what_is_no_condition_is_refused(text: str, why: str) -> None:
    with pytest.raises(BadCondition) as caught:
        Condition(text)
    assert str(caught.value).startswith(why)
