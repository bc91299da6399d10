"""What tenants' clients ask themselves, and the gateway for them at a subject of its own."""

from penstock.contracts.endpoint import TENANT_CLIENT, Call, Reply, Request, Subject
from penstock.contracts.services import GATEWAY


def api(
    verb: str, request: type[Request], reply: type[Reply], answered_by: str, *, timeout_s: float = 30.0
) -> Call[Request, Reply]:
    """The call `penstock.v1.<tenant>.api.<verb>`."""
    public, inside = Subject(f"penstock.v1.{{tenant}}.api.{verb}"), Subject(f"penstock.api.{{tenant}}.{verb}")
    callers = (TENANT_CLIENT, GATEWAY)
    return Call(public, request, reply, answered_by, callers, timeout_s, repeatable=True, inside=inside)
