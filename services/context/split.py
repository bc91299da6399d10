"""Documents into passages: by heading, then by length, with some overlap. Pure, and linear in the text's length."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SENTENCE_END = re.compile("(?<=[.!?\u3002\uff01\uff1f\u2026])\\s+|\n")
_BYTES_PER_TOKEN = 4
_TITLE_MAX = 200


@dataclass(frozen=True, slots=True)
class Piece:
    """`title` is the way of headings that leads to the text."""

    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Lengths:
    """In tokens, estimated as four bytes of UTF-8 each. A piece is at most `passage` plus `overlap`."""

    passage: int = 200
    overlap: int = 40


def tokens(text: str) -> int:
    """An estimate that needs no model: between words and letters, also where words have no spaces."""
    return (len(text.encode()) + _BYTES_PER_TOKEN - 1) // _BYTES_PER_TOKEN


def split(text: str, *, markdown: bool, title: str, lengths: Lengths) -> list[Piece]:
    """The pieces in order. `title` stands before the headings; a document of blanks has no pieces."""
    sections = _sections(text) if markdown else iter([((), text)])
    pieces: list[Piece] = []
    for path, body in sections:
        whole = " > ".join(part for part in (title, *path) if part)[:_TITLE_MAX]
        pieces += [Piece(whole, piece) for piece in _pack(_blocks(body, markdown=markdown), lengths)]
    return pieces


def first_heading(text: str) -> str:
    """The first heading of a markdown text that has text under it, or empty."""
    for path, _ in _sections(text):
        if path:
            return path[0][:_TITLE_MAX]
    return ""


def _sections(text: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Headings are those of CommonMark (ATX and setext), outside of fenced code."""
    path: list[tuple[int, str]] = []
    body: list[str] = []
    fence = ""
    for line in text.splitlines():
        if not line and not fence:
            if body and body[-1]:
                body.append("")
            continue
        fence = _fence_after(line, fence)
        level, heading = (0, "") if fence else _heading(line, body)
        if not level:
            body.append(line)
            continue
        if body:
            yield tuple(name for _, name in path), "\n".join(body)
        body = []
        path = [(above, name) for above, name in path if above < level] + [(level, heading)]
    if body:
        yield tuple(name for _, name in path), "\n".join(body)


def _fence_after(line: str, fence: str) -> str:
    """The fence that is open after this line, or empty."""
    mark = line.strip()
    if fence:
        return "" if mark.startswith(fence) and not mark.strip(fence[0]) else fence
    for kind in ("```", "~~~"):
        if mark.startswith(kind) and "`" not in mark.lstrip("`"):
            return kind[0] * (len(mark) - len(mark.lstrip(kind[0])))
    return ""


def _heading(line: str, body: list[str]) -> tuple[int, str]:
    """Level and text, or (0, ""). A line under a line of text makes that one a heading, and takes it from the body."""
    stripped = line.strip()
    hashes = len(stripped) - len(stripped.lstrip("#"))
    if 1 <= hashes <= 6 and (len(stripped) == hashes or stripped[hashes] in " \t"):
        return hashes, stripped[hashes:].strip().rstrip("#").strip()
    if len(stripped) < 2 or not body or (stripped.strip("=") and stripped.strip("-")):
        return 0, ""
    above = body[-1].strip()
    if not above or above[0] in "-=>*|#" or "|" in above or (len(body) > 1 and body[-2].strip()):
        return 0, ""
    body.pop()
    return (1 if stripped[0] == "=" else 2), above


def _blocks(body: str, *, markdown: bool) -> Iterator[str]:
    """Paragraphs; fenced code is one block, blank lines and all."""
    block: list[str] = []
    fence = ""
    for line in body.splitlines():
        fence = _fence_after(line, fence) if markdown else ""
        if line.strip() or fence:
            block.append(line.rstrip())
        elif block:
            yield "\n".join(block)
            block = []
    if block:
        yield "\n".join(block)


def _pack(blocks: Iterator[str], lengths: Lengths) -> Iterator[str]:
    """As many blocks together as fit. What one piece ended with, the next begins with."""
    piece: list[str] = []
    size = 0
    tail = ""
    for block in blocks:
        for part, joint in _parts(block, lengths.passage):
            part_size = tokens(part)
            if piece and size + part_size > lengths.passage:
                whole = "".join(piece).strip()
                yield whole
                tail = _tail(whole, lengths.overlap)
                piece, size = ([tail, "\n"] if tail else []), 0
            piece += [part, joint]
            size += part_size
    whole = "".join(piece).strip()
    if whole:
        yield whole


def _parts(block: str, most: int) -> Iterator[tuple[str, str]]:
    """A block with what stands after it; of one that is too long the sentences, of those the words, or just pieces."""
    if tokens(block) <= most:
        yield block, "\n\n"
        return
    for sentence in _SENTENCE_END.split(block):
        if not sentence:
            continue
        if tokens(sentence) <= most:
            yield sentence, " "
        else:
            yield from ((part, " ") for part in _words(sentence, most))
    yield "", "\n\n"


def _words(sentence: str, most: int) -> Iterator[str]:
    """At most `most` characters each: a token is never more than a character."""
    limit = max(most, 1)
    line = ""
    for word in sentence.split():
        if line and len(line) + len(word) >= limit:
            yield line
            line = ""
        if len(word) > limit:
            yield from (word[place : place + limit] for place in range(0, len(word), limit))
        else:
            line = f"{line} {word}" if line else word
    if line:
        yield line


def _tail(text: str, most: int) -> str:
    """The end of a text, from a word's beginning, about so many tokens."""
    if not most:
        return ""
    end = text[-most * _BYTES_PER_TOKEN :]
    if len(end) == len(text):
        return ""
    _, space, rest = end.partition(" ")
    return rest if space else ""
