"""What a model gets to see of a tool's answer."""

import pytest

from services.tool_executor.credentials import forms, hide
from services.tool_executor.output import cut_to, is_text, margin, readable

SECRET = "s3cr3t/key+value"


def test_a_cut_does_not_split_a_character() -> None:
    assert cut_to("ééé", 5) == ("éé", True)
    assert cut_to("ééé", 6) == ("ééé", False)


@pytest.mark.parametrize("form", [SECRET, "s3cr3t%2Fkey%2Bvalue", "czNjcjN0L2tleSt2YWx1ZQ=="])
def test_a_secret_is_hidden_in_every_form_it_may_come_back_in(form: str) -> None:
    shown = hide(f"key={form};", forms([SECRET]))
    assert "[hidden]" in shown
    assert form.rstrip("=") not in shown


def test_a_secret_across_the_limit_is_hidden_before_the_cut() -> None:
    known = forms([SECRET])
    body = b"x" * 90 + SECRET.encode() + b"y" * 100
    shown = readable(body[: 100 + margin(known)], "", 100, known)
    assert "s3cr" not in shown.content
    assert shown.truncated


def test_what_is_not_utf8_is_shown_as_far_as_it_goes() -> None:
    assert readable(b"a\xffb", "", 100, ()).content == "a\ufffdb"
    assert readable("é".encode("latin-1"), "latin-1", 100, ()).content == "é"
    assert readable(b"abc", "no-such-charset", 100, ()).content == "abc"


def test_control_characters_are_left_out() -> None:
    assert readable(b"a\x1b[31mred\x00\x07\n\tb", "", 100, ()).content == "a[31mred\n\tb"


@pytest.mark.parametrize(
    ("media_type", "body", "text"),
    [
        ("application/json", b"{}", True),
        ("application/problem+json", b"{}", True),
        ("text/html", b"<p>", True),
        ("", b"plain", True),
        ("", b"\x00\x01", False),
        ("application/octet-stream", b"plain", True),
        ("image/png", b"\x89PNG", False),
        ("application/pdf", b"%PDF", False),
    ],
)
def test_text_is_told_from_the_rest(media_type: str, body: bytes, text: bool) -> None:
    assert is_text(media_type, body) is text
