"""The log in its folder: one writer, appends that are durable when they return, and signed checkpoints.

Order of effects. Append: records outside entries, then the lines of the tail, synced. Publish: bundles, tiles, synced;
then the checkpoint, synced; then the tail is emptied and narrower partial tiles go. Killed after any step, the next
start finds what the last step left, and a message is in the log once or comes again from the stream.
"""

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from services.audit import tail, tiles
from services.audit.checkpoint import Head, SigningKey
from services.audit.disk import Disk
from services.audit.folder import Folder, outside_path
from services.audit.leaf import Message, entries, read_leaf
from services.audit.merkle import EMPTY_ROOT, leaf_hash
from services.audit.recover import LogDamaged, State, recover


class OutOfOrder(ValueError):
    """A message that does not follow the last one: the caller must first bring those between."""

    def __init__(self, sequence: int, after: int) -> None:
        self.sequence = sequence
        self.after = after
        super().__init__(f"message {sequence} does not follow message {after}")


class Log:
    """Not for several threads at once. After an OSError it is not to be used again: open it anew."""

    def __init__(self, folder: Path, key: SigningKey, disk: Disk) -> None:
        """Raises LogDamaged. The caller holds the folder's lock. `folder` exists."""
        self.folder = Folder(folder)
        self._key = key
        self._disk = disk
        self._tail = -1
        note = self.folder.checkpoint()
        if note is None:
            note = self._begin()
        state = recover(self.folder, key.verifying, note)
        self._head = state.head
        self._edge = state.edge
        self._first = state.head.size // tiles.WIDTH * tiles.WIDTH
        self._entries = state.entries
        self._sequence = state.sequence
        self._at = state.at
        self.repaired = self._open_tail(state)

    @property
    def size(self) -> int:
        return self._edge.size

    @property
    def head(self) -> Head:
        """The last signed one."""
        return self._head

    @property
    def unpublished(self) -> int:
        """Records that no checkpoint covers yet."""
        return self._edge.size - self._head.size

    @property
    def sequence(self) -> int:
        """Of the last message in the log; 0 when there is none."""
        return self._sequence

    def append(self, messages: Sequence[Message]) -> list[Message]:
        """The messages that were added: those that are not in the log yet. Durable when it returns.

        Raises OutOfOrder before anything is written.
        """
        fresh = self._fresh(messages)
        made = [entry for message in fresh for entry in entries(message)]
        if not made:
            return []
        hashed = [(leaf_hash(entry.data), entry.data) for entry in made]
        for entry in made:
            if entry.outside:
                name = outside_path(sha256(entry.outside).hexdigest())
                self._disk.write(self.folder.path / name, entry.outside)
        self._disk.settle()
        self._disk.append(self._tail, tail.lines(self.size, hashed))
        for leaf, entry_data in hashed:
            self._edge.append(leaf)
            self._entries.append(entry_data)
        self._sequence, self._at = fresh[-1].sequence, fresh[-1].at
        return fresh

    def publish(self) -> Head:
        """Signs all there is, unless the last checkpoint covers it."""
        if not self.unpublished:
            return self._head
        old, size = self._head.size, self.size
        self._write_bundles()
        self._write_tiles(old)
        self._disk.settle()
        head = Head(self._key.verifying.name, size, self._edge.root())
        self._disk.write(self.folder.path / tiles.CHECKPOINT, self._key.sign(head))
        self._disk.settle()
        self._head = head
        self._disk.cut(self._tail, 0)
        self._forget()
        return head

    def entry(self, index: int) -> bytes:
        """Published or not. Raises IndexError, and Missing or BrokenBundle for a damaged bundle."""
        if not 0 <= index < self.size:
            raise IndexError(index)
        if index >= self._first:
            return self._entries[index - self._first]
        return self.folder.entry(index, self._first)

    def unproven(self) -> list[bytes]:
        """The entries of the last message that is signed, and all after it: what the stream must say too."""
        found: list[bytes] = []
        at = self._head.size
        while at > 0:
            at -= 1
            found.append(self.entry(at))
            if read_leaf(found[-1]).position == 0:
                break
        found.reverse()
        return found + [self.entry(index) for index in range(self._head.size, self.size)]

    def close(self) -> None:
        if self._tail >= 0:
            os.close(self._tail)
            self._tail = -1

    def _begin(self) -> bytes:
        """The checkpoint of the empty log, in a folder that has nothing of a log in it."""
        if (self.folder.path / "tile").exists() or self.folder.tail():
            raise LogDamaged(self.folder, "its checkpoint is missing")
        note = self._key.sign(Head(self._key.verifying.name, 0, EMPTY_ROOT))
        self._disk.write(self.folder.path / tiles.CHECKPOINT, note)
        self._disk.settle()
        return note

    def _open_tail(self, state: State) -> str:
        """What was cut away, in words; "" if nothing was."""
        path = self.folder.path / tail.NAME
        if not path.exists():
            self._disk.write(path, b"")
            self._disk.settle()
        self._tail = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        if not state.dropped_bytes:
            return ""
        self._disk.cut(self._tail, state.tail_bytes)
        return f"{state.dropped_bytes} bytes after message {state.sequence} were cut away: {state.dropped_reason}"

    def _fresh(self, messages: Sequence[Message]) -> list[Message]:
        fresh: list[Message] = []
        last = self._sequence
        for message in messages:
            if message.sequence <= last:
                continue  # delivered again
            if last and message.sequence != last + 1:
                raise OutOfOrder(message.sequence, last)
            fresh.append(message)
            last = message.sequence
        return fresh

    def _write_bundles(self) -> None:
        first = self._first
        for start in range(first, self.size, tiles.WIDTH):
            part = self._entries[start - first : start - first + tiles.WIDTH]
            path = tiles.bundle_path(start // tiles.WIDTH, len(part))
            self._disk.write(self.folder.path / path, tiles.bundle(part))

    def _write_tiles(self, old: int) -> None:
        for level, index, hashes in self._edge.completed:
            self._disk.write(self.folder.path / tiles.tile_path(level, index), b"".join(hashes))
        for level, hashes in enumerate(self._edge.levels):
            here = self.size >> tiles.HEIGHT * level
            if hashes and here != old >> tiles.HEIGHT * level:
                path = tiles.tile_path(level, here // tiles.WIDTH, len(hashes))
                self._disk.write(self.folder.path / path, b"".join(hashes))

    def _forget(self) -> None:
        """Partial tiles whose full ones are there now, and what is in memory of full bundles."""
        for level, index, _ in self._edge.completed:
            self._disk.remove_folder(self.folder.path / f"{tiles.tile_path(level, index)}.p")
            if level == 0:
                self._disk.remove_folder(self.folder.path / f"{tiles.bundle_path(index)}.p")
        self._edge.completed = []
        first = self.size // tiles.WIDTH * tiles.WIDTH
        del self._entries[: first - self._first]
        self._first = first
