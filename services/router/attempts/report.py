"""What one router tells the others of deployments, and what it makes of what they tell. Pure.

No clock is shared: a rest is told as the seconds that are left of it, use as that of the last minute.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from services.router.choosing import health, minute
from services.router.choosing.latency import expected_s
from services.router.choosing.standing import Elsewhere, Standing
from services.router.fault import FaultKind

REPORT_MAX_BYTES = 4 * 1024 * 1024
REST_MAX_S = 3600.0
WHOLE = -1
"""The number that stands for the deployment itself, where a key's may stand."""


class Rest(msgspec.Struct, frozen=True, array_like=True):
    """A deployment, or the key of that number, rests for so long from the report on."""

    key: int
    kind: str
    left_s: float


class Known(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of one deployment, by its id: use of the last minute, calls under way, latencies in seconds (0: none), rests."""

    requests: float = 0.0
    tokens: float = 0.0
    in_flight: int = 0
    first_s: float = 0.0
    whole_s: float = 0.0
    rests: tuple[Rest, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """All that one router knows of its own. `number` grows with each report: one that stands still is of a router that
    has gone."""

    number: int
    known: dict[str, Known]


NOTHING = Known()
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(Report)


def write(standings: Mapping[str, Standing], number: int, now: float) -> bytes:
    """What was found here; not what was heard."""
    known = {id: fact for id, standing in standings.items() if (fact := _known(standing, now)) != NOTHING}
    return _ENCODER.encode(Report(number, known))


def read(raw: bytes) -> Report | None:
    """None for what is no report."""
    if len(raw) > REPORT_MAX_BYTES:
        return None
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def together(reports: Iterable[Report]) -> dict[str, Elsewhere]:
    """Use and calls added up, latencies as the mean of those that have one."""
    told: dict[str, list[Known]] = {}
    for report in reports:
        for id, known in report.known.items():
            told.setdefault(id, []).append(known)
    return {id: _summed(all) for id, all in told.items()}


def rests(report: Report, age_s: float) -> Iterator[tuple[str, int, FaultKind, float]]:
    """Deployment id, key, fault and seconds left, of a report that is so old."""
    for id, known in report.known.items():
        for rest in known.rests:
            left_s = min(rest.left_s, REST_MAX_S) - age_s
            if left_s > 0 and rest.kind in _KINDS and WHOLE <= rest.key < 1000:
                yield id, rest.key, FaultKind(rest.kind), left_s


_KINDS = frozenset(kind.value for kind in FaultKind)


def _known(standing: Standing, now: float) -> Known:
    requests, tokens = minute.used(standing.minute, now)
    breakers = ((WHOLE, standing.breaker), *enumerate(standing.keys))
    return Known(
        round(requests, 1),
        round(tokens),
        standing.in_flight,
        round(expected_s(standing.first, now), 4),
        round(expected_s(standing.whole, now), 4),
        tuple(_rest(key, breaker, now) for key, breaker in breakers if _tells(breaker, now)),
    )


def _tells(breaker: health.Breaker, now: float) -> bool:
    return breaker.resting_until > now and not breaker.heard and breaker.why is not None


def _rest(key: int, breaker: health.Breaker, now: float) -> Rest:
    return Rest(key, breaker.why or FaultKind.TRANSIENT, round(breaker.resting_until - now, 2))


def _summed(all: list[Known]) -> Elsewhere:
    return Elsewhere(
        max(sum(known.requests for known in all), 0.0),
        max(sum(known.tokens for known in all), 0.0),
        max(sum(known.in_flight for known in all), 0),
        _mean([known.first_s for known in all]),
        _mean([known.whole_s for known in all]),
    )


def _mean(numbers: list[float]) -> float:
    seen = [number for number in numbers if number > 0]
    return sum(seen) / len(seen) if seen else 0.0
