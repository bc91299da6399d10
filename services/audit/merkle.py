"""The Merkle tree of RFC 6962 section 2.1: hashes, roots, and the proofs of RFC 9162 section 2.1.

A node is named by (level, index): it stands for the leaves from `index << level` on, `1 << level` of them.
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

EMPTY_ROOT = sha256(b"").digest()
Range = tuple[int, int]
"""Leaves from the first up to, and without, the second."""
Node = Callable[[int, int], bytes]
"""Gives the hash of the full subtree (level, index)."""


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def root(hashes: Sequence[bytes]) -> bytes:
    """The tree head over these leaf hashes, or over these roots of full subtrees that are equally large."""
    return joined(full_subtrees(hashes))


def full_subtrees(hashes: Sequence[bytes]) -> list[bytes]:
    """The roots of the largest full subtrees from left to right, each smaller than the one before it."""
    tops: list[bytes] = []
    row = list(hashes)
    while row:
        if len(row) % 2:
            tops.append(row[-1])
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)]
    tops.reverse()
    return tops


def joined(tops: Sequence[bytes]) -> bytes:
    """The head over full subtrees of falling size."""
    if not tops:
        return EMPTY_ROOT
    head = tops[-1]
    for top in reversed(tops[:-1]):
        head = node_hash(top, head)
    return head


def range_hash(leaves: Range, node: Node) -> bytes:
    """MTH of a range whose left parts are full subtrees, as all ranges of a proof are."""
    first, end = leaves
    count = end - first
    if count == 0:
        return EMPTY_ROOT
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return node(level, first >> level)
    middle = first + _split(count)
    return node_hash(range_hash((first, middle), node), range_hash((middle, end), node))


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """The ranges whose hashes prove that leaf `index` is in the tree of `size` leaves, from the leaf upwards."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    ranges: list[Range] = []
    first, end = 0, size
    while end - first > 1:
        middle = first + _split(end - first)
        if index < middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((first, middle))
            first = middle
    ranges.reverse()
    return ranges


def consistency_ranges(old: int, size: int) -> list[Range]:
    """The ranges whose hashes prove that the tree of `size` leaves begins with the tree of `old`."""
    if not 0 < old <= size:
        raise ValueError(f"a tree of {size} cannot extend one of {old}")
    ranges: list[Range] = []
    first, end = 0, size
    while old != end:
        middle = first + _split(end - first)
        if old <= middle:
            ranges.append((middle, end))
            end = middle
        else:
            ranges.append((first, middle))
            first = middle
    if first:
        ranges.append((first, end))
    ranges.reverse()
    return ranges


def includes(entry_hash: bytes, index: int, size: int, proof: Sequence[bytes], head: bytes) -> bool:
    """RFC 9162 section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, entry_hash
    for step in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(step, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, step)
        at, last = at >> 1, last >> 1
    return last == 0 and found == head


def extends(old: int, size: int, old_head: bytes, head: bytes, proof: Sequence[bytes]) -> bool:
    """RFC 9162 section 2.1.4.2. The empty tree is extended by every tree, with an empty proof."""
    if old == 0:
        return old_head == EMPTY_ROOT and not proof
    if old == size:
        return old_head == head and not proof
    if not 0 < old < size or not proof:
        return False
    steps = list(proof)
    if old & (old - 1) == 0:
        steps.insert(0, old_head)
    at, last = old - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old_found = found = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old_found, found = node_hash(step, old_found), node_hash(step, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, step)
        at, last = at >> 1, last >> 1
    return last == 0 and old_found == old_head and found == head


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)
