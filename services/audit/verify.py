"""Checks a log offline: its folder and the public key, nothing else. No bus, no service, no other file is needed.

What is checked: the signature; every bundle against its hashes; every tile; the signed root; the stream's messages
whole, once, in order; records outside their entries; partial tiles of older checkpoints; the lines no checkpoint covers
yet; checkpoints known from elsewhere; and which decisions have no outcome though it is overdue.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from penstock.contracts.audit import Verified
from services.audit import merkle, tail, tiles
from services.audit.checkpoint import BadCheckpoint, Head, VerifyingKey, claimed_head, open_checkpoint
from services.audit.compare import differences
from services.audit.folder import Folder, Missing, outside_path
from services.audit.leaf import Leaf, read_leaf
from services.audit.order import Order
from services.audit.orphans import Opened, Pairs, facts
from services.audit.tiles import HEIGHT, WIDTH, BrokenBundle, Edge

PROBLEMS_MAX = 100
_REPAIR = "the service repairs it from the stream when it starts"


@dataclass(frozen=True, slots=True)
class Findings:
    """`verified.orphans` names the decisions of all tenants, `orphans` says more. `unsigned`: records in the tail."""

    verified: Verified
    orphans: tuple[Opened, ...] = ()
    unsigned: int = 0


def verify(folder: Path, public_key: str, *, now: float | None = None, known: Sequence[bytes] = ()) -> Findings:
    """`public_key`: `<name>+<id>+<base64>`; raises checkpoint.BadKey for anything else. Everything else that is wrong
    becomes a problem. `known`: checkpoints kept elsewhere, that this log must extend. `now`: Unix seconds."""
    key = VerifyingKey.parse(public_key)
    check = _Check(Folder.find(folder), key)
    return check.run(time.time() if now is None else now, known)


@dataclass(slots=True)
class _Check:
    folder: Folder
    key: VerifyingKey
    problems: list[str] = field(default_factory=list)
    more: int = 0
    order: Order = field(default_factory=Order)
    pairs: Pairs = field(default_factory=Pairs)
    edge: Edge = field(default_factory=Edge)
    note: bytes | None = None

    def run(self, now: float, known: Sequence[bytes]) -> Findings:
        head, signed_by = self._head()
        if head is None:
            return self._findings(0, "", signed_by, now, 0)
        for index in range(-(-head.size // WIDTH)):
            there = self._bundle(index, min(WIDTH, head.size - index * WIDTH), head)
            if not there and not signed_by:
                break  # a size that nobody signed may be any number
        self._say(self.order.end(head.size))
        root = self.edge.root()
        if root != head.root:
            self._say(
                f"checkpoint: it signs the root {head.root.hex()} for {head.size} records, but the records that are"
                f" there give {root.hex()}"
            )
        self._upper_edge(head)
        self._partials(head)
        self._known(head, known)
        unsigned = self._tail(head)
        return self._findings(head.size, root.hex(), signed_by, now, unsigned)

    def _say(self, problem: str) -> None:
        if problem and len(self.problems) < PROBLEMS_MAX:
            self.problems.append(problem)
        elif problem:
            self.more += 1

    def _findings(self, size: int, root: str, signed_by: str, now: float, unsigned: int) -> Findings:
        if self.more:
            self.problems.append(f"and {self.more} more problems")
        orphans = tuple(self.pairs.overdue(now))
        names = tuple(orphan.decision for orphan in orphans)
        return Findings(Verified(size, root, signed_by, tuple(self.problems), names), orphans, unsigned)

    def _head(self) -> tuple[Head | None, str]:
        """With a bad signature the checks go on against what the checkpoint claims, so that all is told at once."""
        note = self.note = self.folder.checkpoint()
        if note is None:
            self._say(f"checkpoint: it is not there; {self.folder.path} holds no log, or its head was taken away")
            return None, ""
        try:
            return open_checkpoint(note, self.key), f"{self.key.name}+{self.key.id.hex()}"
        except BadCheckpoint as error:
            self._say(f"checkpoint: {error}")
        try:
            return claimed_head(note), ""
        except BadCheckpoint:
            return None, ""

    def _bundle(self, index: int, width: int, head: Head) -> bool:
        """One bundle against its tile; where they differ, the one that agrees with the tree above is believed.
        False when neither is there."""
        entries = self._entries(index, width)
        found = [merkle.leaf_hash(entry) for entry in entries]
        wanted = self._hashes(0, index, width)
        path = tiles.bundle_path(index, width)
        believed = found
        if wanted is not None and not entries:
            believed = wanted  # told already
        elif wanted is not None and found != wanted:
            above = self._above(index, width, head)
            if len(found) == width and above is not None and self._gives(found, above, head):
                self._say(
                    f"{tiles.tile_path(0, index, width)}: its hashes are not those of the records, which are as signed"
                )
            else:
                believed = wanted
                for difference in differences(found, wanted, index * WIDTH):
                    self._say(f"{path}: {difference}{self._where(entries, difference, index * WIDTH)}")
        for leaf in believed[:width]:
            self.edge.append(leaf)
        self._completed(index)
        for place, entry in enumerate(entries):
            self._entry(index * WIDTH + place, entry, path)
        return bool(entries or wanted)

    def _entries(self, index: int, width: int) -> list[bytes]:
        try:
            return self.folder.entries(index, width)
        except Missing as error:
            self._say(f"{error} (records {index * WIDTH} to {index * WIDTH + width - 1})")
            return self._what_is_left(index, width)
        except BrokenBundle as error:
            self._say(f"{tiles.bundle_path(index, width)}: {error}")
            return error.entries

    def _what_is_left(self, index: int, width: int) -> list[bytes]:
        file = self.folder.path / tiles.bundle_path(index, width)
        try:
            return tiles.unbundle(file.read_bytes()) if file.is_file() else []
        except BrokenBundle as error:
            return error.entries

    def _hashes(self, level: int, index: int, width: int) -> list[bytes] | None:
        try:
            return self.folder.hashes(level, index, width)
        except Missing as error:
            self._say(str(error))
            return None

    def _above(self, index: int, width: int, head: Head) -> bytes | None:
        """The hash that a full bundle must give by the tile over it; None for an unfinished one: the root tells."""
        if width < WIDTH:
            return head.root
        parent = index // WIDTH
        try:
            row = self.folder.hashes(1, parent, min(WIDTH, head.size // WIDTH - parent * WIDTH))
        except Missing:
            return None
        return row[index % WIDTH]

    def _gives(self, found: list[bytes], above: bytes, head: Head) -> bool:
        if len(found) == WIDTH:
            return merkle.root(found) == above
        edge = self.edge.copy()
        for leaf in found:
            edge.append(leaf)
        return edge.root() == above

    def _where(self, entries: list[bytes], difference: str, first: int) -> str:
        """The message of the record that a difference begins at, where it can still be read."""
        place = next((int(word) for word in difference.split() if word.isdigit()), first) - first
        if not difference.endswith("changed") or not 0 <= place < len(entries):
            return ""
        leaf = _leaf(entries[place])
        return f" (message {leaf.sequence}, {leaf.position + 1} of {leaf.of})" if leaf else ""

    def _completed(self, bundle: int) -> None:
        """Tiles of the upper levels that are full now, against what lies in the folder."""
        completed, self.edge.completed = self.edge.completed, []
        for level, index, hashes in completed:
            if level:
                self._tile(level, index, hashes)

    def _upper_edge(self, head: Head) -> None:
        for level, hashes in enumerate(self.edge.levels):
            if level and hashes and self.edge.size == head.size:
                self._tile(level, (head.size >> HEIGHT * level) // WIDTH, hashes)

    def _tile(self, level: int, index: int, hashes: list[bytes]) -> None:
        found = self._hashes(level, index, len(hashes))
        if found is None:
            return
        span = WIDTH**level
        for place, (have, want) in enumerate(zip(found, hashes, strict=True)):
            if have != want:
                first = (index * WIDTH + place) * span
                self._say(
                    f"{tiles.tile_path(level, index, len(hashes))}: hash {place} is not that of records {first} to"
                    f" {first + span - 1}"
                )

    def _entry(self, index: int, entry: bytes, path: str) -> None:
        leaf = _leaf(entry)
        if leaf is None:
            self._say(f"{path}: record {index} cannot be read")
            return
        self._say(self.order.add(index, leaf))
        record: bytes | msgspec.Raw = leaf.record
        if leaf.record_sha256:
            outside = self.folder.outside(leaf.record_sha256)
            if outside is None or len(outside) != leaf.record_bytes:
                name = outside_path(leaf.record_sha256)[:80]
                self._say(f"{name}: record {index} (message {leaf.sequence}) is not there, or was changed")
                return
            record = outside
        self.pairs.add(facts(record, leaf.tenant), leaf.tenant)

    def _partials(self, head: Head) -> None:
        """What older checkpoints left must be the beginning of what is there now."""
        for level in (None, *range(len(tiles.widths(head.size)))):
            size = head.size >> HEIGHT * (level or 0)
            for index, width, file in self.folder.partials(level):
                now = min(WIDTH, size - index * WIDTH)
                if width < now and not self._begins(level, index, width, now, file):
                    name = file.relative_to(self.folder.path)
                    self._say(f"{name}: it is not the beginning of what stands there now")

    def _begins(self, level: int | None, index: int, width: int, now: int, file: Path) -> bool:
        try:
            found = file.read_bytes()
            if level is None:
                return found == tiles.bundle(self.folder.entries(index, now)[:width])
            return found == b"".join(self.folder.hashes(level, index, now)[:width])
        except FileNotFoundError:
            return True  # the full one has come and the writer took it away
        except (Missing, BrokenBundle):
            return True  # told already, of the file that is broken

    def _known(self, head: Head, known: Sequence[bytes]) -> None:
        for number, note in enumerate(known, 1):
            try:
                old = open_checkpoint(note, self.key)
                self._say(self._against(old, head, f"known checkpoint {number}"))
            except (BadCheckpoint, Missing) as error:
                self._say(f"known checkpoint {number}: {error}")

    def _against(self, old: Head, head: Head, name: str) -> str:
        if old.size > head.size:
            return f"{name}: it signs {old.size} records, the log has only {head.size}: the end was cut off"
        if merkle.range_hash((0, old.size), self._node(head.size)) != old.root:
            return f"{name}: the first {old.size} records are not those it signs: history was rewritten"
        return ""

    def _node(self, size: int) -> merkle.Node:
        return lambda level, index: self.folder.node(level, index, size)

    def _tail(self, head: Head) -> int:
        """How many records are not signed yet. What seems wrong is not, if the writer signed on meanwhile."""
        before, note = len(self.problems), self.folder.checkpoint()
        count = self._tail_lines(head)
        if note != self.note or note != self.folder.checkpoint():
            del self.problems[before:]
        return count

    def _tail_lines(self, head: Head) -> int:
        index = head.size
        for line in tail.read(self.folder.tail()):
            if isinstance(line, tail.Broken):
                self._say(f"tail: from byte {line.at} on, {line.reason}; {_REPAIR}")
                break
            if line.index < head.size:
                if line.hash != self._signed_hash(line.index, head):
                    self._say(f"tail: record {line.index} is not the one that is signed")
                continue
            leaf = _leaf(line.entry)
            if line.index != index or leaf is None:
                self._say(f"tail: record {index} is missing")
                break
            self._entry(index, line.entry, "tail")
            index += 1
        return index - head.size

    def _signed_hash(self, index: int, head: Head) -> bytes:
        try:
            return self.folder.node(0, index, head.size)
        except Missing:
            return b""


def _leaf(entry: bytes) -> Leaf | None:
    try:
        return read_leaf(entry)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
