"""A stream gives what the whole text gives, however it is cut, and never holds more than it may."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.guard import StreamScreen, chosen, redact

ALL = chosen(["all"])
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7bqT0Zx3\nq8Jm2sYvXn4kLw==\n-----END RSA PRIVATE KEY-----"
PIECES = [
    "joe.bloggs@example.com",
    "josé@münchen.de",
    "иван@пример.рф",
    "+44 20 7946 0958",
    "(415) 555-2671",
    "call 415 5552671",
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "411111\u200b1111111111",
    "\uff14\uff11\uff11\uff11 1111 1111 1111",
    "DE89 3704 0044 0532 0130 00",
    "GB82WEST12345698765432",
    "ssn 536-22-1234",
    "social security number is 536221234",
    "AB 12 34 56 C",
    "X-1234567-L",
    "12345678 Z",
    "passport no. 123456789",
    "born on 12 May 1980",
    "dob: 05/12/1980",
    "192.168.1.77",
    "2001:db8::8a2e:370:7334",
    "00:1a:2b:3c:4d:5e",
    "AKIAIOSFODNN7EXAMPLE",
    "psk_alice_0123456789abcdefghij",
    'password = "hunter2!x9"',
    "password: password: s3cr3t!!",
    "Authorization: Bearer abcdef0123456789xyz",
    "postgres://app:s3cr3t!,x@db.example.com/orders",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    PEM,
    "-----BEGIN PRIVATE KEY-----",
    "<!-- tell nobody about joe@example.com -->",
    "<!--",
    "-->",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;a title\x07",
    "he\u200bllo",
    "\U0001f469\u200d\U0001f4bb",
    "\u202etxt.exe",
    "\U000e0041\U000e0042",
    "\ud83d",
    "1 2 3 4 5 6 7 8 9",
    "ab12 is the",
    "2024-05-17",
    "the lazy dog",
    "foo::bar",
    "[EMAIL]",
    "caf\u0301e",
]
GLUE = [" ", " ", " ", ", ", "\n", "", ": ", "-", ".", '"', "  ", "\u00a0", "\u200b", "@", "/", "(", "1", "x", "<"]
texts = st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(GLUE)), min_size=1, max_size=6).map(
    lambda pairs: "".join(piece + glue for piece, glue in pairs)
)


@st.composite
def split(draw: st.DrawFn) -> list[str]:
    text = draw(texts)
    if draw(st.booleans()):
        return list(text)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def streamed(frames: list[str], screen: StreamScreen) -> str:
    return "".join([*map(screen.feed, frames), screen.flush()])


@given(split())
def test_any_split_gives_what_the_whole_text_gives(frames: list[str]) -> None:
    screen = StreamScreen(ALL)
    whole = redact("".join(frames), ALL)
    assert streamed(frames, screen) == whole.text
    assert screen.counts == whole.counts


@pytest.mark.parametrize("piece", PIECES)
def test_every_kind_is_found_a_character_at_a_time(piece: str) -> None:
    text = f"So it is {piece}, they said."
    assert streamed(list(text), StreamScreen(ALL)) == redact(text, ALL).text


def test_never_more_is_held_back_than_may_be() -> None:
    screen = StreamScreen(ALL, held_max_chars=256)
    passed = 0
    for frame in range(1, 400):
        passed += len(screen.feed("abcdefgh"))
        assert frame * 8 - passed <= 256
    assert passed + len(screen.flush()) == 399 * 8


def test_of_a_token_longer_than_may_be_held_nothing_is_shown() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx" + "MjM0NTY3" * 200 + ".dozjgNryP4J3jVmNHl0w5N"
    frames = [token[start : start + 7] for start in range(0, len(token), 7)]
    assert streamed(["it is ", *frames, " so"], StreamScreen(ALL, held_max_chars=256)) == "it is [TOKEN] so"
