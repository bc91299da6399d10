"""What a request is written for: a deployment, asked in one protocol, with what the caller's headers say. Pure."""

from collections.abc import Mapping, Sequence

from services.router.models.deployment import Deployment
from services.router.protocols.protocol import Target
from services.router.providers.address import VERSION_HEADER, passed_on

NO_HEADERS: Mapping[str, str] = {}


def wire_of(surface: str, spoken: Sequence[str]) -> str:
    """The protocol in which a deployment that speaks `spoken`, the one it knows best first, is asked."""
    return surface if surface in spoken else spoken[0]


def headers_for(wire: str, surface: str, sent: Mapping[str, str]) -> Mapping[str, str]:
    """The caller's headers mean something to providers of its own protocol and to nobody else."""
    return sent if wire == surface else NO_HEADERS


def target_of(
    deployment: Deployment, wire: str, headers: Mapping[str, str] = NO_HEADERS, *, streamed: bool = False
) -> Target:
    """`headers`: those of the caller that this provider may get."""
    return Target(
        deployment.model,
        deployment.endpoint,
        streamed,
        deployment.output_tokens_max,
        deployment.output_tokens_field,
        deployment.stream_usage,
        deployment.thoughts_field,
        passed_on(wire, headers, deployment.headers, deployment.version).get(VERSION_HEADER, ""),
    )
