"""Server-sent events come out the same however their bytes were cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.router.sse import EventTooLarge, SseEvent, SseParser

LF = b': hello\n\ndata: {"a":1}\n\nevent: error\ndata: one\ndata: two\n\ndata:bare\n\nid: 7\n\ndata: [DONE]\n\n'
WANTED = [(None, b""), (b'{"a":1}', b""), (b"one\ntwo", b"error"), (b"bare", b""), (None, b""), (b"[DONE]", b"")]
FORMS = {"LF": LF, "CRLF": LF.replace(b"\n", b"\r\n"), "CR": LF.replace(b"\n", b"\r")}


def parse(*pieces: bytes, limit: int = 10_000) -> list[SseEvent]:
    parser = SseParser(limit)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return events + parser.finish()


def said(events: list[SseEvent]) -> list[tuple[bytes | None, bytes]]:
    return [(event.data, event.name) for event in events]


@pytest.mark.parametrize("form", FORMS)
def test_events_are_read_with_each_line_ending(form: str) -> None:
    assert said(parse(FORMS[form])) == WANTED


@pytest.mark.parametrize("form", FORMS)
def test_byte_by_byte_is_the_same(form: str) -> None:
    pieces = [FORMS[form][i : i + 1] for i in range(len(FORMS[form]))]
    events = parse(*pieces)
    assert said(events) == WANTED
    assert b"".join(event.raw for event in events).rstrip(b"\n") == FORMS[form].rstrip(b"\n")


@pytest.mark.parametrize("form", FORMS)
def test_every_split_in_two_is_the_same(form: str) -> None:
    data = FORMS[form]
    for cut in range(len(data) + 1):
        events = parse(data[:cut], data[cut:])
        assert said(events) == WANTED, cut


@given(
    lines=st.lists(
        st.sampled_from([b"data: x", b"data:y", b": c", b"event: e", b"", b"", b"\xc3\xa9", b"data: \xe2\x82\xac"])
    ),
    ending=st.sampled_from([b"\n", b"\r\n", b"\r"]),
    cuts=st.lists(st.integers(min_value=0, max_value=80), max_size=6),
)
def test_any_cuts_of_any_stream_give_the_same_events(lines: list[bytes], ending: bytes, cuts: list[int]) -> None:
    data = ending.join(lines) + ending * 2
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    whole = [each for each in said(parse(data)) if each != (None, b"")]
    assert [each for each in said(parse(*pieces)) if each != (None, b"")] == whole


def test_an_event_is_there_as_soon_as_its_last_byte_is() -> None:
    parser = SseParser(1000)
    assert parser.feed(b"data: 1\r\r") == [SseEvent(b"data: 1\r\r", b"1")]
    assert parser.feed(b"data: 2\n") == []
    assert parser.feed(b"\n") == [SseEvent(b"data: 2\n\n", b"2")]


def test_the_line_feed_of_a_split_crlf_belongs_to_the_next_event_s_bytes() -> None:
    parser = SseParser(1000)
    assert parser.feed(b"data: 1\r\n\r") == [SseEvent(b"data: 1\r\n\r", b"1")]
    assert parser.feed(b"\ndata: 2\r\n\r\n") == [SseEvent(b"\ndata: 2\r\n\r\n", b"2")]


def test_what_stands_last_without_an_empty_line_is_an_event() -> None:
    assert parse(b"data: [DONE]") == [SseEvent(b"data: [DONE]\n\n", b"[DONE]")]
    assert parse(b"data: 1\n\ndata: 2\n")[-1] == SseEvent(b"data: 2\n\n", b"2")
    assert parse(b"\r\n") == []


def test_a_byte_order_mark_at_the_start_is_no_part_of_the_data() -> None:
    assert parse(b"\xef\xbb\xbfdata: 1\n\n") == [SseEvent(b"\xef\xbb\xbfdata: 1\n\n", b"1")]


def test_one_space_after_the_colon_is_dropped_and_no_more() -> None:
    assert parse(b"data:  two\n\n")[0].data == b" two"
    assert parse(b"data\n\n")[0].data == b""


def test_an_event_that_does_not_end_is_refused_at_the_limit() -> None:
    parser = SseParser(100)
    parser.feed(b"data: " + b"x" * 90)
    with pytest.raises(EventTooLarge, match="larger than 100 bytes"):
        parser.feed(b"x" * 10)
