"""Ports of a plane on this machine: the same at every start where they can be had, else free ones."""

import socket
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from penstock.local.layout import write_private

HOST = "127.0.0.1"


def choose_ports(remembered: Path, wanted: Mapping[str, int], fixed: Mapping[str, int]) -> dict[str, int]:
    """A port for each name in `wanted`, whose number is what to try first (0: any free one).

    A number in `fixed` is taken as it is; then what the file `remembered` says, if it is free; the result is written
    there. All are held while choosing, so that no two are the same.
    """
    before = _read(remembered)
    with ExitStack() as held:
        chosen = {
            name: fixed.get(name) or _free(held, (before.get(name, 0), first, 0)) for name, first in wanted.items()
        }
    write_private(remembered, msgspec.json.format(msgspec.json.encode(chosen), indent=2) + b"\n")
    return chosen


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with ExitStack() as held:
        return _hold(held, port) is not None


def _read(path: Path) -> dict[str, int]:
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])
    return {}


def _free(held: ExitStack, tries: tuple[int, ...]) -> int:
    for place, port in enumerate(tries):
        if port == 0 and place < len(tries) - 1:
            continue
        found = _hold(held, port)
        if found is not None:
            return found
    raise OSError(f"no free port on {HOST}")


def _hold(held: ExitStack, port: int) -> int | None:
    probe = held.enter_context(socket.socket())
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind((HOST, port))
    except OSError:
        return None
    bound: int = probe.getsockname()[1]
    return bound
