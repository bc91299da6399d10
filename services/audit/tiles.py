"""The layout of C2SP tlog-tiles: where the hashes and the entries of a log lie, and how entries are bundled."""

from collections.abc import Sequence

from services.audit import merkle

HEIGHT = 8
WIDTH = 1 << HEIGHT
"""Hashes in a full tile, entries in a full bundle."""
HASH_BYTES = 32
ENTRY_MAX_BYTES = 65_535
"""An entry's length is written as 16 bits."""
CHECKPOINT = "checkpoint"


class BrokenBundle(ValueError):
    """A bundle that ends within an entry. `entries` are those before."""

    def __init__(self, entries: list[bytes], left_bytes: int) -> None:
        self.entries = entries
        self.left_bytes = left_bytes
        super().__init__(f"{left_bytes} bytes after entry {len(entries)} are no entry")


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """Relative to the log's folder; `width` below 256 is a partial tile."""
    return f"tile/{level}/{_number(index)}{_partial(width)}"


def bundle_path(index: int, width: int = WIDTH) -> str:
    return f"tile/entries/{_number(index)}{_partial(width)}"


def widths(size: int) -> list[int]:
    """How many hashes stand in the unfinished tile of each level of a tree of `size`, level 0 first."""
    found: list[int] = []
    while size:
        found.append(size % WIDTH)
        size >>= HEIGHT
    return found


def bundle(entries: Sequence[bytes]) -> bytes:
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def unbundle(data: bytes) -> list[bytes]:
    """Raises BrokenBundle."""
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        start = at + 2
        end = start + int.from_bytes(data[at:start], "big")
        if start > len(data) or end > len(data):
            raise BrokenBundle(entries, len(data) - at)
        entries.append(data[start:end])
        at = end
    return entries


def split_hashes(data: bytes) -> list[bytes]:
    """The hashes of a tile; a rest of fewer than 32 bytes is left away."""
    return [data[at : at + HASH_BYTES] for at in range(0, len(data) - HASH_BYTES + 1, HASH_BYTES)]


class Edge:
    """The right edge of a growing tree: the hashes in the unfinished tile of each level.

    Tiles that `append` completes are kept in `completed` as (level, index, hashes) until somebody takes them.
    """

    def __init__(self, size: int = 0, levels: Sequence[Sequence[bytes]] = ()) -> None:
        if [len(level) for level in levels] != widths(size):
            raise ValueError(f"these are not the edges of a tree of {size}")
        self.size = size
        self.levels = [list(level) for level in levels]
        self.completed: list[tuple[int, int, list[bytes]]] = []

    def copy(self) -> "Edge":
        """Without what was completed."""
        return Edge(self.size, self.levels)

    def append(self, leaf: bytes) -> None:
        self.size += 1
        risen, level = leaf, 0
        while True:
            if level == len(self.levels):
                self.levels.append([])
            row = self.levels[level]
            row.append(risen)
            if len(row) < WIDTH:
                return
            self.completed.append((level, (self.size >> HEIGHT * (level + 1)) - 1, row))
            self.levels[level] = []
            risen, level = merkle.root(row), level + 1

    def root(self) -> bytes:
        tops: list[bytes] = []
        for row in reversed(self.levels):
            tops.extend(merkle.full_subtrees(row))
        return merkle.joined(tops)


def _number(index: int) -> str:
    """1234067 is x001/x234/067."""
    parts = [f"{index % 1000:03d}"]
    while index := index // 1000:
        parts.append(f"x{index % 1000:03d}")
    return "/".join(reversed(parts))


def _partial(width: int) -> str:
    if not 0 < width <= WIDTH:
        raise ValueError(f"a tile is 1 to {WIDTH} wide, not {width}")
    return "" if width == WIDTH else f".p/{width}"
