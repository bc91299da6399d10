"""Texts inside of JSON: all that somebody may have written is found and edited, and nothing else."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.kit.json_text import decoded, edited, edited_text, texts

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


def loud(text: str) -> str:
    return text.replace("secret", "[HIDDEN]").replace("42", "[NUMBER]")


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b'{"role":"user","content":"a secret"}', b'{"role":"user","content":"a [HIDDEN]"}'),
        (b'{"content":[{"type":"text","text":"secret"}]}', b'{"content":[{"type":"text","text":"[HIDDEN]"}]}'),
        (b'{"id":"secret","name":"secret","type":"secret"}', b'{"id":"secret","name":"secret","type":"secret"}'),
        (b'{"name":"a secret word"}', b'{"name":"a [HIDDEN] word"}'),
        (
            b'{"arguments":"{\\"x\\":\\"s\\\\u0065cret\\",\\"n\\":42}"}',
            b'{"arguments":"{\\"x\\":\\"[HIDDEN]\\",\\"n\\":\\"[NUMBER]\\"}"}',
        ),
        (b'{"type":"tool_use","input":{"id":"secret"}}', b'{"type":"tool_use","input":{"id":"[HIDDEN]"}}'),
        (b'{"args":{"secret":1}}', b'{"args":{"[HIDDEN]":1}}'),
        (b'{"temperature":0.10,"n":42}', b'{"temperature":0.10,"n":"[NUMBER]"}'),
        (b'{"user":"secret"}', b'{"user":"[HIDDEN]"}'),
        (b'[{"type":"thinking","thinking":"secret","signature":"s"},1]', b"[1]"),
        (b'{"text":"secret","thoughtSignature":"s"}', b'{"text":"[HIDDEN]"}'),
    ],
)
def test_what_is_written_is_edited_and_the_protocols_words_are_not(raw: bytes, expected: bytes) -> None:
    assert msgspec.json.encode(edited(decoded(raw), loud)) == expected


def test_base64_is_left_alone_and_short_words_are_not() -> None:
    data = "secret" + "A" * 90
    assert edited({"data": data, "more": "secretA"}, loud) == {"data": data, "more": "[HIDDEN]A"}
    assert edited({"url": "data:image/png;base64," + data}, loud) == {"url": "data:image/png;base64," + data}
    assert edited({"url": "https://x.org/?q=secret"}, loud) == {"url": "https://x.org/?q=[HIDDEN]"}


def test_a_text_that_is_json_stays_json() -> None:
    assert edited_text(' {"a": 42}', loud) == '{"a":"[NUMBER]"}'
    assert edited_text('{"a": 42', loud) == '{"a": [NUMBER]'
    assert edited_text("{not json} secret", loud) == "{not json} [HIDDEN]"
    assert edited_text('{"a": "b"}', loud) == '{"a": "b"}'


def test_all_texts_are_gathered() -> None:
    value = decoded(b'{"role":"user","content":["a",{"x":1,"id":"b c"}],"args":{"k":true,"id":"d"}}')
    assert sorted(texts(value)) == ["1", "a", "b c", "d", "id", "k"]


@given(JSON)
def test_what_nobody_edits_is_the_same_object(value: object) -> None:
    assert edited(value, lambda text: text) is value


@given(JSON)
def test_whatever_is_gathered_is_what_is_edited(value: object) -> None:
    seen: list[str] = []

    def note(text: str) -> str:
        seen.append(text)
        return text

    edited(value, note, open_=True)
    plain = [text for text in texts(value, open_=True) if text.lstrip()[:1] not in ("{", "[")]
    assert set(plain) <= set(seen)
