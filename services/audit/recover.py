"""Where a log stood when its writer ended, however it ended: the checkpoint, and the lines after it that are whole.

What is signed must be there and agree, or nothing is opened. What is not signed yet and broke is cut away: the stream
still has it.
"""

from dataclasses import dataclass

import msgspec

from services.audit import tail
from services.audit.checkpoint import BadCheckpoint, Head, VerifyingKey, open_checkpoint
from services.audit.folder import Folder, Missing
from services.audit.leaf import Leaf, read_leaf
from services.audit.merkle import leaf_hash
from services.audit.tiles import HEIGHT, WIDTH, BrokenBundle, Edge, widths


class LogDamaged(Exception):
    """What was signed is not there any more, or is not what was signed."""

    def __init__(self, folder: Folder, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"The audit log in {folder.path} is damaged: {reason}. Nothing was changed. `penstock audit verify` tells"
            " the whole damage. Put back a sound copy of the folder, or move it away (keep it as evidence) and start"
            " again: a new log is made from the stream."
        )


@dataclass(slots=True)
class State:
    """`entries`: those of the unfinished bundle, then the ones not in a checkpoint. `tail_bytes`: how much of the
    tail is good; `dropped_bytes`: what stood after it. `sequence`, `at`: of the last message; 0 in an empty log."""

    head: Head
    edge: Edge
    entries: list[bytes]
    sequence: int = 0
    at: int = 0
    tail_bytes: int = 0
    dropped_bytes: int = 0
    dropped_reason: str = ""


def recover(folder: Folder, key: VerifyingKey, note: bytes) -> State:
    """Raises LogDamaged."""
    try:
        head = open_checkpoint(note, key)
    except BadCheckpoint as error:
        raise LogDamaged(folder, f"of the checkpoint, {error}") from error
    try:
        state = _signed(folder, head)
        _add_tail(folder, state)
    except (Missing, BrokenBundle, msgspec.DecodeError) as error:
        raise LogDamaged(folder, str(error)) from error
    return state


def _signed(folder: Folder, head: Head) -> State:
    size = head.size
    levels = [
        folder.hashes(level, (size >> HEIGHT * level) // WIDTH, width) if width else []
        for level, width in enumerate(widths(size))
    ]
    edge = Edge(size, levels)
    if edge.root() != head.root:
        raise LogDamaged(folder, f"its tiles do not give the root that is signed for {size} records")
    entries = folder.entries(size // WIDTH, size % WIDTH) if size % WIDTH else []
    if [leaf_hash(entry) for entry in entries] != (levels[0] if levels else []):
        raise LogDamaged(folder, f"the last {size % WIDTH} records are not those whose hashes are signed")
    state = State(head, edge, entries)
    if size:
        last = read_leaf(entries[-1] if entries else folder.entries(size // WIDTH - 1, WIDTH)[-1])
        if last.position != last.of - 1:
            raise LogDamaged(folder, f"the checkpoint of {size} records ends within message {last.sequence}")
        state.sequence, state.at = last.sequence, last.at
    return state


def _add_tail(folder: Folder, state: State) -> None:
    """Adds whole messages alone, and only such as follow one another."""
    data = folder.tail()
    message: list[tuple[tail.Line, Leaf]] = []
    for line in tail.read(data):
        if isinstance(line, tail.Broken):
            state.dropped_reason = line.reason
            break
        if line.index < state.head.size:
            state.tail_bytes = line.end  # covered by the checkpoint: the writer ended before it emptied the file
            continue
        leaf = read_leaf(line.entry)
        follows = (state.sequence + 1 if state.sequence else leaf.sequence, len(message))
        if line.index != state.edge.size + len(message) or (leaf.sequence, leaf.position) != follows:
            state.dropped_reason = f"record {line.index} does not follow the one before it"
            break
        message.append((line, leaf))
        if leaf.position == leaf.of - 1:
            _take(state, message)
            message = []
    state.dropped_bytes = len(data) - state.tail_bytes
    if state.dropped_bytes and not state.dropped_reason:
        state.dropped_reason = "the last message is not whole"


def _take(state: State, message: list[tuple[tail.Line, Leaf]]) -> None:
    for line, leaf in message:
        state.edge.append(line.hash)
        state.entries.append(line.entry)
        state.sequence, state.at, state.tail_bytes = leaf.sequence, leaf.at, line.end
