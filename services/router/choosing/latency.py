"""How long a deployment takes, as a peak-sensitive moving average. Pure.

A slow answer counts at once and whole, fast ones bring the average down over DECAY_S; so does time without any answer,
so that whoever was slow is asked again (Finagle's peak EWMA).
"""

from math import exp

import msgspec

DECAY_S = 10.0
UNSEEN_S = 1.0
"""What an answer is taken to need from whoever has never given one and has some to give."""


class Latency(msgspec.Struct, frozen=True):
    """`value_s` as of `at`, in the caller's clock; 0 when nothing was seen."""

    value_s: float = 0.0
    at: float = 0.0


UNKNOWN = Latency()


def seen(latency: Latency, took_s: float, now: float) -> Latency:
    """One answer took so long."""
    if took_s >= latency.value_s:
        return Latency(took_s, now)
    weight = exp(-max(now - latency.at, 0.0) / DECAY_S)
    return Latency(latency.value_s * weight + took_s * (1.0 - weight), now)


def failed(latency: Latency, took_s: float, now: float) -> Latency:
    """No answer came: an error that comes quickly must not look like speed."""
    return seen(latency, max(took_s, 2.0 * latency.value_s, UNSEEN_S), now)


def expected_s(latency: Latency, now: float) -> float:
    """How long the next answer would take."""
    return latency.value_s * exp(-max(now - latency.at, 0.0) / DECAY_S)


def cost_s(latency: Latency, in_flight: int, now: float) -> float:
    """For comparing: the wait of one more behind those under way."""
    each_s = expected_s(latency, now) or (UNSEEN_S if in_flight else 0.0)
    return each_s * (in_flight + 1)
