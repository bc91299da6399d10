"""What `nats micro ls/info/stats` shows of a service."""

from importlib.metadata import version

from penstock.bus import Bus
from penstock.bus.micro import Description, EndpointStats, Micro, MicroEndpoint
from penstock.kit.handling import Handling

NANOSECONDS = 1_000_000_000


def described(bus: Bus, service: str, handling: Handling) -> Micro:
    """The service's answers to PING, INFO and STATS; start it when all endpoints are served."""
    endpoints = tuple(
        MicroEndpoint(_name(pattern), tally.subject, service) for pattern, tally in handling.tallies.items()
    )
    description = Description(service, version("penstock"), f"Penstock {service}", endpoints)
    return Micro(bus.connection, description, lambda: _stats(service, handling))


def _stats(service: str, handling: Handling) -> list[EndpointStats]:
    return [
        EndpointStats(
            _name(pattern),
            tally.subject,
            service,
            num_requests=tally.requests,
            num_errors=tally.errors,
            last_error=tally.last_error,
            processing_time=int(tally.seconds * NANOSECONDS),
            average_processing_time=int(tally.seconds * NANOSECONDS / max(1, tally.requests)),
        )
        for pattern, tally in handling.tallies.items()
    ]


def _name(pattern: str) -> str:
    """The protocol allows letters, digits, - and _ in a name."""
    return pattern.replace(".", "-").replace("{", "").replace("}", "")
