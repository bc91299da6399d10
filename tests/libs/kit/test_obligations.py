"""What a permit obliges to: read, checked, and merged to the strictest."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.kit.obligations import KNOWN, NONE, BadObligation, Filter, check, merge, split


def test_several_stand_in_one_annotation_and_a_semicolon_in_quotes_is_part_of_one() -> None:
    assert split("redact:EMAIL,SSN; cap:100;;read_only ") == ("redact:EMAIL,SSN", "cap:100", "read_only")
    assert split("filter:notes:body <> 'a;b'; cap:5") == ("filter:notes:body <> 'a;b'", "cap:5")
    assert split('set:note={"a": "x;\\"y;"}; cap:5') == ('set:note={"a": "x;\\"y;"}', "cap:5")
    assert split("") == ()


def test_redact_holds_both_ways_and_entities_are_united() -> None:
    merged = merge(["redact:EMAIL", "redact_input:SSN, CARD", "redact_output:PHONE", "pseudonymise:IP"])
    assert merged.redact_input == {"EMAIL", "SSN", "CARD"}
    assert merged.redact_output == {"EMAIL", "PHONE"}
    assert merged.pseudonymise == {"IP"}


def test_all_stands_for_everything() -> None:
    assert merge(["redact:EMAIL", "redact_output:all"]).redact_output == {"all"}


def test_the_lowest_cap_and_the_fewest_rows_win() -> None:
    merged = merge(["cap:100", "cap:20", "max_rows:5", "max_rows:50"])
    assert (merged.cap, merged.max_rows) == (20, 5)


def test_every_filter_holds_and_arguments_are_set() -> None:
    merged = merge(["filter:Orders:region = 'eu'", "filter:orders:total < 9", "read_only", 'set:limit={"most": 3}'])
    assert merged.filters == (Filter("orders", "region = 'eu'"), Filter("orders", "total < 9"))
    assert merged.read_only
    assert {name: bytes(value) for name, value in merged.sets.items()} == {"limit": b'{"most": 3}'}


def test_no_obligation_is_nothing() -> None:
    assert merge([]) is NONE
    assert not NONE
    assert merge(["read_only"])


@pytest.mark.parametrize(
    ("obligations", "what"),
    [
        (["watermark"], "'watermark' is not known"),
        (["redact"], "redact names kinds in capitals"),
        (["redact:email"], "redact names kinds in capitals"),
        (["redact:EMAIL,"], "redact names kinds in capitals"),
        (["redact_input:all,EMAIL"], "redact_input names kinds in capitals"),
        (["cap:0"], "cap takes a whole number"),
        (["cap:-1"], "cap takes a whole number"),
        (["cap:٣"], "cap takes a whole number"),
        (["max_rows:99999999999"], "max_rows takes a whole number"),
        (["pin:"], "pin names one deployment"),
        (["pin:a", "pin:b"], "two deployments are pinned: a and b"),
        (["filter:orders"], "filter names a table"),
        (["filter:or ders:x = 1"], "filter names a table"),
        (["filter:orders: "], "filter names a table"),
        (["read_only:yes"], "read_only takes no arguments"),
        (["set:x"], "set gives an argument a JSON value"),
        (["set:x=nonsense"], "set gives an argument a JSON value"),
        (["set:x y=1"], "set gives an argument a JSON value"),
        (["set:x=1", "set:x=2"], "the argument x is set to two values"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_with_what_to_write(obligations: list[str], what: str) -> None:
    with pytest.raises(BadObligation, match=what):
        merge(obligations)


def test_a_name_that_nobody_knows_passes_the_check_of_a_bundle_and_is_refused_where_it_is_met() -> None:
    check("watermark:blue")
    with pytest.raises(BadObligation):
        check("cap:none")


@given(st.text(max_size=200))
def test_any_text_is_split_and_merged_or_refused(text: str) -> None:
    parts = split(text)
    try:
        merged = merge(parts)
    except BadObligation:
        return
    assert set(merged.texts) == set(parts)


@given(st.lists(st.sampled_from(["cap:3", "cap:9", "redact:EMAIL", "redact_input:SSN", "read_only", "max_rows:4"])))
def test_more_obligations_never_permit_more(obligations: list[str]) -> None:
    merged = merge(obligations)
    for one in obligations:
        alone = merge([one])
        assert alone.redact_input <= merged.redact_input
        assert alone.redact_output <= merged.redact_output
        assert not alone.cap or 0 < merged.cap <= alone.cap
        assert not alone.max_rows or 0 < merged.max_rows <= alone.max_rows
        assert merged.read_only or not alone.read_only


def test_what_is_known_is_what_is_documented() -> None:
    assert sorted(KNOWN) == [
        "cap",
        "filter",
        "max_rows",
        "pin",
        "pseudonymise",
        "read_only",
        "redact",
        "redact_input",
        "redact_output",
        "set",
    ]
    assert isinstance(merge(["set:a=1"]).sets["a"], msgspec.Raw)
