"""Writes the golden sample of a message type that has none yet: python -m tests.libs.contracts.make_golden

What is there is what a released version sends, and stays: the sample of a type that has grown a field since moves to
golden/older, and is read by tests for ever.
"""

import sys
from pathlib import Path

import msgspec

from tests.libs.contracts.samples import ON_THE_WIRE

GOLDEN = Path(__file__).with_name("golden")
OLDER = GOLDEN / "older"


def main() -> None:
    for value in ON_THE_WIRE:
        name = type(value).__name__
        path = GOLDEN / f"{name}.json"
        written = msgspec.json.encode(value) + b"\n"
        if path.exists():
            if path.read_bytes() == written:
                continue
            number = len(list(OLDER.glob(f"{name}.*.json"))) + 1
            path.rename(OLDER / f"{name}.{number}.json")
        path.write_bytes(written)
        sys.stdout.write(f"{path.name}\n")


if __name__ == "__main__":
    main()
