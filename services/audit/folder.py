"""A log's folder, read only: what the verifier, the queries and the writer itself read it by."""

from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from services.audit import merkle, tail, tiles

CACHED_BUNDLES = 4


class Missing(Exception):
    """A part of the log that is not there, or shorter than the checkpoint says."""

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"{name}: {reason}")


class Folder:
    """Paths are those of tlog-tiles. A partial tile that is gone is read from a wider one, which begins with it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._full_bundle = lru_cache(CACHED_BUNDLES)(self._read_full_bundle)

    @classmethod
    def find(cls, path: Path) -> "Folder":
        """`path` itself, or `log` in it: the service's data folder does as well."""
        inner = path / "log"
        outer = (path / tiles.CHECKPOINT).exists() or not inner.is_dir()
        return cls(path if outer else inner)

    def checkpoint(self) -> bytes | None:
        return self._read(tiles.CHECKPOINT)

    def tail(self) -> bytes:
        return self._read(tail.NAME) or b""

    def hashes(self, level: int, index: int, width: int) -> list[bytes]:
        """The first `width` hashes of a tile. Raises Missing."""
        name = tiles.tile_path(level, index, width)
        data, wide = self._widest(name, tiles.tile_path(level, index), width)
        if len(data) != wide * tiles.HASH_BYTES:
            raise Missing(name, f"it holds {len(data)} bytes in place of {wide * tiles.HASH_BYTES}")
        return tiles.split_hashes(data)[:width]

    def entries(self, index: int, width: int) -> list[bytes]:
        """The first `width` entries of a bundle. Raises Missing, or BrokenBundle with what can be read."""
        if width == tiles.WIDTH:
            return self._full_bundle(index)
        name = tiles.bundle_path(index, width)
        data, wide = self._widest(name, tiles.bundle_path(index), width)
        found = tiles.unbundle(data)
        if len(found) != wide:
            raise Missing(name, f"it holds {len(found)} records in place of {wide}")
        return found[:width]

    def entry(self, index: int, size: int) -> bytes:
        """One entry of a log whose checkpoint says `size`."""
        bundle, place = divmod(index, tiles.WIDTH)
        return self.entries(bundle, min(tiles.WIDTH, size - bundle * tiles.WIDTH))[place]

    def node(self, level: int, index: int, size: int) -> bytes:
        """The hash of a full subtree in the tree of `size`, as the proofs in merkle.py ask for it."""
        row, rest = divmod(level, tiles.HEIGHT)
        first = index << rest
        tile, place = divmod(first, tiles.WIDTH)
        width = min(tiles.WIDTH, (size >> row * tiles.HEIGHT) - tile * tiles.WIDTH)
        return merkle.root(self.hashes(row, tile, width)[place : place + (1 << rest)])

    def outside(self, digest: str) -> bytes | None:
        """A record that was too large for its entry; None if it is not there or another than it should be."""
        data = self._read(outside_path(digest)) if len(digest) == 64 and digest.isalnum() else None
        return data if data is not None and sha256(data).hexdigest() == digest else None

    def partials(self, level: int | None) -> Iterator[tuple[int, int, Path]]:
        """(index, width, file) of all partial tiles of a level, or of the bundles (None)."""
        root = self.path / "tile" / ("entries" if level is None else str(level))
        for folder in sorted(root.rglob("*.p")):
            parts = folder.relative_to(root).with_suffix("").parts
            digits = "".join(part.lstrip("x") for part in parts)
            for name in _numbers(folder) if digits.isdigit() else []:
                yield int(digits), name, folder / str(name)

    def _widest(self, name: str, full: str, width: int) -> tuple[bytes, int]:
        """The exact file, or the full one, or the narrowest that is wider; and its width. Raises Missing."""
        for candidate, wide in ((name, width), (full, tiles.WIDTH)):
            data = self._read(candidate)
            if data is not None:
                return data, wide
        for other in _numbers(self.path / f"{full}.p"):
            data = self._read(f"{full}.p/{other}") if other > width else None
            if data is not None:
                return data, other
        raise Missing(name, "it is not there")

    def _read_full_bundle(self, index: int) -> list[bytes]:
        name = tiles.bundle_path(index)
        data = self._read(name)
        if data is None:
            raise Missing(name, "it is not there")
        found = tiles.unbundle(data)
        if len(found) != tiles.WIDTH:
            raise Missing(name, f"it holds {len(found)} records in place of {tiles.WIDTH}")
        return found

    def _read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None


def _numbers(folder: Path) -> list[int]:
    """The widths in a folder of partial tiles, which the writer may take away at any time."""
    try:
        return sorted(int(file.name) for file in folder.iterdir() if file.name.isdigit())
    except (FileNotFoundError, NotADirectoryError):
        return []


def outside_path(digest: str) -> str:
    """Where a record stands that is too large for an entry, by its SHA-256 in hex."""
    return f"outside/{digest[:2]}/{digest}"
