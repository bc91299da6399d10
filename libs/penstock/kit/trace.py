"""W3C Trace Context, version 00 (https://www.w3.org/TR/trace-context/): `00-<trace id>-<span id>-<flags>`.

Pure: the random ids (`os.urandom(16).hex()`, `os.urandom(8).hex()`) are passed in.
"""

import re

import msgspec

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?\Z")
_NO_TRACE = "0" * 32
_NO_SPAN = "0" * 16


class Trace(msgspec.Struct, frozen=True):
    """One place in one trace. `trace` is 32 hex digits, `span` 16."""

    trace: str
    span: str
    sampled: bool = True

    def __str__(self) -> str:
        return f"00-{self.trace}-{self.span}-{'01' if self.sampled else '00'}"


def parse(traceparent: str) -> Trace | None:
    """What the header says; None when it is not one. A later version is read as far as version 00 goes."""
    match = _FORM.match(traceparent)
    if match is None:
        return None
    version, trace, span, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest) or trace == _NO_TRACE or span == _NO_SPAN:
        return None
    return Trace(trace, span, bool(int(flags, 16) & 1))


def child(traceparent: str, trace: str, span: str) -> str:
    """The header for work done below `traceparent` in the new span; without a usable one, of the new trace."""
    parent = parse(traceparent)
    if parent is None:
        return f"00-{trace}-{span}-01"
    return str(Trace(parent.trace, span, parent.sampled))


def trace_id(traceparent: str) -> str:
    """The trace's id, "" when there is none."""
    found = parse(traceparent)
    return "" if found is None else found.trace
