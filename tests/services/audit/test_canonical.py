import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.canonical import NotCanonical, canonical, number

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        # RFC 8785, appendix B
        (0.0, "0"),
        (-0.0, "0"),
        (5e-324, "5e-324"),
        (-5e-324, "-5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (9007199254740992.0, "9007199254740992"),
        (-9007199254740992.0, "-9007199254740992"),
        (295147905179352830000.0, "295147905179352830000"),
        (9.999999999999997e22, "9.999999999999997e+22"),
        (1e23, "1e+23"),
        (1.0000000000000001e23, "1.0000000000000001e+23"),
        (999999999999999700000.0, "999999999999999700000"),
        (999999999999999900000.0, "999999999999999900000"),
        (1e21, "1e+21"),
        (9.999999999999997e-7, "9.999999999999997e-7"),
        (0.000001, "0.000001"),
        (333333333.3333332, "333333333.3333332"),
        (333333333.33333325, "333333333.33333325"),
        (-0.0000033333333333333333, "-0.0000033333333333333333"),
        (1424953923781206.2, "1424953923781206.2"),
        (100.0, "100"),
        (4.50, "4.5"),
        (2e-3, "0.002"),
    ],
)
def test_a_number_is_printed_as_ecmascript_prints_it(value: float, printed: str) -> None:
    assert number(value) == printed


def test_the_sample_of_the_rfc_gives_its_canonical_form() -> None:
    text = rb"""{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }"""
    assert canonical(text).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_keys_are_sorted_by_utf_16_code_units() -> None:
    text = b'{"\\u20ac":1,"\\r":2,"\\ufb33":3,"1":4,"\\ud83d\\ude00":5,"\\u0080":6,"\\u00f6":7}'
    values = [int(part[-1]) for part in canonical(text).decode().strip("{}").split(",")]
    assert values == [2, 4, 6, 7, 1, 5, 3]


def test_the_same_value_written_differently_has_one_form() -> None:
    assert canonical(b' { "b" : 1.0 , "a" : [ 1e0 ] } ') == b'{"a":[1],"b":1}'


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"NaN",
        b"1e400",
        b'"\\ud800"',
        b'"\xff"',
        b"9007199254740993",
        b"-9007199254740993",
        b"1" * 400,
        b"[" * 5000 + b"]" * 5000,
        b"[" * 102 + b"]" * 102,
        b'{"a":1}x',
    ],
)
def test_what_has_no_canonical_form_is_refused(text: bytes) -> None:
    with pytest.raises(NotCanonical):
        canonical(text)


def test_as_deep_as_allowed_is_allowed() -> None:
    text = b"[" * 100 + b"]" * 100
    assert canonical(text) == text


@given(VALUES)
def test_the_canonical_form_says_the_same_and_is_its_own(value: object) -> None:
    text = canonical(json.dumps(value).encode())
    assert json.loads(text, parse_int=float) == value
    assert canonical(text) == text
