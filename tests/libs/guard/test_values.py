"""Inside JSON: it stays valid, names of fields are words in front of values, and there are limits."""

import json

import pytest

from penstock.guard import (
    Facts,
    NotScreened,
    Pseudonyms,
    chosen,
    hide_value,
    redact_json,
    redact_value,
    restore_value,
    value_facts,
)

ALL = chosen(["all"])


def nested(depth: int) -> object:
    value: object = "joe@example.com"
    for _ in range(depth):
        value = [value]
    return value


def test_strings_keys_and_numbers_are_redacted() -> None:
    value = {
        "to": ["joe@example.com", 7, None, True, 1.5],
        "card": 4111111111111111,
        "joe@example.com": 1,
        "ann@example.com": 2,
        "count": 12345678,
    }
    redacted = redact_value(value, ALL)
    assert redacted.value == {
        "to": ["[EMAIL]", 7, None, True, 1.5],
        "card": "[CARD]",
        "[EMAIL]": 1,
        "[EMAIL] 2": 2,
        "count": 12345678,
    }
    assert redacted.counts == {"EMAIL": 3, "CARD": 1}
    assert value["card"] == 4111111111111111


@pytest.mark.parametrize(
    ("name", "text", "written"),
    [
        ("ssn", "536221234", "[SSN]"),
        ("phone_number", "4155551234", "[PHONE]"),
        ("password", "hunter2!", "[PASSWORD]"),
        ("note", "536221234", "536221234"),
        ("passport_number", "123456789", "[PASSPORT]"),
    ],
)
def test_the_name_of_a_field_counts_as_words_in_front(name: str, text: str, written: str) -> None:
    assert redact_value({name: [text]}, ALL).value == {name: [written]}


def test_a_document_stays_valid_whatever_is_taken_out() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bqT0Zx3q8Jm2sYv\n-----END PRIVATE KEY-----"
    document = json.dumps({"key": pem, "html": 'a<!-- "quoted" -->b', "open": "<!-- not closed", "x": "}\\"})
    text, counts = redact_json(document, ALL)
    assert json.loads(text) == {"key": "[PRIVATE_KEY]", "html": "ab", "open": "", "x": "}\\"}
    assert counts == {"PRIVATE_KEY": 1, "HIDDEN_TEXT": 2}


def test_values_are_hidden_and_come_back() -> None:
    names = Pseudonyms("k3f9")
    value = {"to": "joe@example.com", "cc": ["ann@example.com"], "n": 4111111111111111}
    hidden = hide_value(value, ALL, names)
    assert hidden.value == {"to": "[EMAIL_1_k3f9]", "cc": ["[EMAIL_2_k3f9]"], "n": "[CARD_1_k3f9]"}
    assert restore_value(hidden.value, names) == value | {"n": "4111111111111111"}


def test_facts_are_of_all_strings_together() -> None:
    assert value_facts({"a": "joe@example.com", "b": ["x\u202ey", 536221234]}) == Facts(
        frozenset({"EMAIL"}), hidden_text=True
    )


def test_what_is_nested_too_deep_is_refused() -> None:
    assert redact_value(nested(64), ALL).counts == {"EMAIL": 1}
    with pytest.raises(NotScreened, match="64"):
        redact_value(nested(65), ALL)
    with pytest.raises(NotScreened):
        redact_json("[" * 100_000 + "]" * 100_000, ALL)


@pytest.mark.parametrize("text", ["", "{", '{"a": nan}', "\ud83d", b"\xff"])
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(NotScreened):
        redact_json(text, ALL)


@pytest.mark.parametrize("value", [b"bytes", {1: "x"}, {"a": {2, 3}}, object()])
def test_what_json_has_not_is_refused(value: object) -> None:
    with pytest.raises(NotScreened):
        value_facts(value)


def test_what_is_too_large_is_refused() -> None:
    with pytest.raises(NotScreened, match="larger"):
        value_facts(["x" * (9 << 20), "x" * (9 << 20)])
