"""Documents into passages."""

from itertools import pairwise

import pytest

from services.context.split import Lengths, Piece, first_heading, split, tokens

GUIDE = """Before any heading.

# Guide #

Welcome.

## Install

Type `pip install`.

```sh
# not a heading

pip install penstock
```

Sub section
-----------

| a | b |
|---|---|

# Reference
"""


def pieces(text: str, *, markdown: bool = True, lengths: Lengths | None = None) -> list[Piece]:
    return split(text, markdown=markdown, title="doc", lengths=lengths or Lengths())


def test_each_section_is_a_passage_under_its_way_of_headings() -> None:
    assert pieces(GUIDE) == [
        Piece("doc", "Before any heading."),
        Piece("doc > Guide", "Welcome."),
        Piece(
            "doc > Guide > Install",
            "Type `pip install`.\n\n```sh\n# not a heading\n\npip install penstock\n```",
        ),
        Piece("doc > Guide > Sub section", "| a | b |\n|---|---|"),
    ]


def test_plain_text_has_no_headings() -> None:
    assert pieces("# not a heading\n\ntext", markdown=False) == [Piece("doc", "# not a heading\n\ntext")]


def test_the_first_heading_is_found() -> None:
    assert first_heading("text\n\n## Two\n\nmore\n\n# One\n\nmore") == "Two"
    assert first_heading("no heading") == ""


@pytest.mark.parametrize("text", ["", " \n\n\t\n", "# only a heading"])
def test_a_document_of_blanks_has_no_passages(text: str) -> None:
    assert pieces(text) == []


def test_a_long_section_is_cut_between_paragraphs_with_overlap() -> None:
    paragraphs = [f"Paragraph {number} says something of about ten words or so." for number in range(40)]
    found = pieces("# Long\n\n" + "\n\n".join(paragraphs), lengths=Lengths(passage=100, overlap=20))
    assert all(tokens(piece.text) <= 120 for piece in found)
    assert all(piece.title == "doc > Long" for piece in found)
    for before, after in pairwise(found):
        assert before.text.endswith(after.text.splitlines()[0])
    for paragraph in paragraphs:
        assert any(paragraph in piece.text for piece in found)


def test_without_overlap_nothing_is_repeated() -> None:
    text = " ".join(f"Sentence number {number}." for number in range(200))
    found = pieces(text, markdown=False, lengths=Lengths(passage=50, overlap=0))
    assert " ".join(piece.text for piece in found).split() == text.split()


@pytest.mark.parametrize(
    "text",
    ["x" * 100_000, "日本語" * 20_000, "a " * 50_000, "# h\n" * 50_000, "`" * 100_000, "\n" * 100_000, "= \n" * 30_000],
)
def test_hostile_texts_give_bounded_passages(text: str) -> None:
    for piece in pieces(text):
        assert tokens(piece.text) <= 250
        assert len(piece.title) <= 200


def test_letters_without_spaces_are_cut_and_none_is_lost() -> None:
    text = "あ" * 1000
    found = pieces(text, markdown=False, lengths=Lengths(passage=100, overlap=0))
    assert sum(piece.text.count("あ") for piece in found) == 1000
