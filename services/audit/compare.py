"""Says in words how the records that are there differ from the hashes that were written for them. Pure."""

from collections.abc import Sequence
from itertools import zip_longest

SHOWN_MAX = 5
"""Of records that differ side by side, so many are named."""


def differences(found: Sequence[bytes], wanted: Sequence[bytes], first: int) -> list[str]:
    """`found`: hashes of the records from index `first` on; `wanted`: those that the tree holds. [] if they agree."""
    if list(found) == list(wanted):
        return []
    at = next(i for i, (have, want) in enumerate(zip_longest(found, wanted)) if have != want)
    same_end = _common_end(found[at:], wanted[at:])
    have = list(found[at : len(found) - same_end])
    want = list(wanted[at : len(wanted) - same_end])
    return _told(have, want, found, first + at)


def _told(have: list[bytes], want: list[bytes], found: Sequence[bytes], index: int) -> list[str]:
    if not have:
        return [f"{_records(index, len(want))} removed"]
    if not want:
        doubled = [hash_ in found[: found.index(hash_) + 1] and found.count(hash_) > 1 for hash_ in have]
        return [f"{_records(index, len(have))} {'doubled' if all(doubled) else 'inserted'}"]
    if len(have) == len(want) and sorted(have) == sorted(want):
        return [f"{_records(index, len(have))} put in another order"]
    if len(have) == len(want):
        wrong = [index + i for i, (one, other) in enumerate(zip(have, want, strict=True)) if one != other]
        told = [f"record {place} changed" for place in wrong[:SHOWN_MAX]]
        return told + ([f"{len(wrong) - SHOWN_MAX} more records changed"] if len(wrong) > SHOWN_MAX else [])
    verb = "removed" if len(have) < len(want) else "added"
    count = abs(len(have) - len(want))
    return [f"{count} records {verb} between record {index} and record {index + max(len(have), len(want)) - 1}"]


def _common_end(found: Sequence[bytes], wanted: Sequence[bytes]) -> int:
    count = 0
    while count < min(len(found), len(wanted)) and found[-1 - count] == wanted[-1 - count]:
        count += 1
    return count


def _records(index: int, count: int) -> str:
    return f"record {index} was" if count == 1 else f"records {index} to {index + count - 1} were"
