"""The records that no checkpoint covers yet: one line each in the file `tail`, `<index> <leaf hash, hex> <entry>`.

The hash is there so that a line that was cut or changed is seen before anything is signed.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from services.audit import merkle

NAME = "tail"


@dataclass(frozen=True, slots=True)
class Line:
    """`end`: where in the file the line ends, its newline included."""

    index: int
    hash: bytes
    entry: bytes
    end: int


@dataclass(frozen=True, slots=True)
class Broken:
    """Where the file stops to be lines, and why."""

    at: int
    reason: str


def lines(first: int, hashed: Iterable[tuple[bytes, bytes]]) -> bytes:
    """For (hash, entry) of the records from index `first` on."""
    return b"".join(
        b"%d %b %b\n" % (index, leaf.hex().encode(), entry) for index, (leaf, entry) in enumerate(hashed, first)
    )


def read(data: bytes) -> Iterator[Line | Broken]:
    """Every line that is whole, and one Broken at the end if something else follows."""
    at = 0
    while at < len(data):
        end = data.find(b"\n", at) + 1
        if not end:
            yield Broken(at, "the last line has no end")
            return
        line = _line(data[at : end - 1], end)
        if line is None:
            yield Broken(at, "a line does not agree with its hash")
            return
        yield line
        at = end


def _line(text: bytes, end: int) -> Line | None:
    index, _, rest = text.partition(b" ")
    digest, _, entry = rest.partition(b" ")
    leaf = merkle.leaf_hash(entry)
    if not index.isdigit() or len(index) > 19 or digest != leaf.hex().encode() or str(int(index)).encode() != index:
        return None
    return Line(int(index), leaf, entry, end)
