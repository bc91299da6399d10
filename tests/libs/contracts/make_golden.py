"""Writes the golden sample of a message type that has none yet: python -m tests.libs.contracts.make_golden

What is there is never written again: it is what a released version sends.
"""

import sys
from pathlib import Path

import msgspec

from tests.libs.contracts.samples import ON_THE_WIRE

GOLDEN = Path(__file__).with_name("golden")


def main() -> None:
    for value in ON_THE_WIRE:
        path = GOLDEN / f"{type(value).__name__}.json"
        if not path.exists():
            path.write_bytes(msgspec.json.encode(value) + b"\n")
            sys.stdout.write(f"{path.name}\n")


if __name__ == "__main__":
    main()
