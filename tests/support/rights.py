"""The table of subjects by its meaning: who may publish and hear what, and what nobody may. Tried on a real broker."""

import asyncio

from nats.aio.client import Client

from penstock.contracts import stores, subjects
from penstock.contracts.endpoint import TENANT_CLIENT, Bucket, Call, Event, Journal, Stream, Subject, Work

PLACES = {
    "tenant": "acme",
    "job": "job_1",
    "kind": "chat",
    "pool": "default",
    "partition": "0a",
    "run": "job_1",
    "id": "x1",
    "worker": "w1",
    "service": "nobody",
    "stream": "str_1",
    "approval": "apr_1",
}

ADMINISTRATION = [
    f"$JS.API.{verb}.{store.name}"
    for store in stores.STORES
    for verb in (
        "STREAM.CREATE",
        "STREAM.UPDATE",
        "STREAM.DELETE",
        "STREAM.PURGE",
        "STREAM.MSG.DELETE",
        "CONSUMER.CREATE",
    )
] + ["$JS.API.STREAM.LIST", "$JS.API.STREAM.NAMES", "$SYS.REQ.SERVER.PING", "$JS.ACK.AUDIT.other.1.1.1.1.1"]


def concrete(subject: Subject) -> str:
    names = {part[1:-1] for part in subject.pattern.split(".") if part.startswith("{")}
    return subject.at(**{name: PLACES[name] for name in names})


def publishers(endpoint: object) -> dict[str, tuple[str, ...]]:
    """Subject -> who may publish to it, read off the table by its meaning."""
    if isinstance(endpoint, Call) and endpoint.inside is not None:
        services = tuple(name for name in endpoint.called_by if name != TENANT_CLIENT)
        return {concrete(endpoint.subject): (TENANT_CLIENT,), concrete(endpoint.inside): services}
    if isinstance(endpoint, Call | Stream):
        return {concrete(endpoint.subject): endpoint.called_by}
    if isinstance(endpoint, Event):
        if "{service}" in endpoint.subject.pattern:
            return {endpoint.subject.at(tenant="acme", service=s): (s,) for s in endpoint.emitted_by}
        return {concrete(endpoint.subject): endpoint.emitted_by}
    if isinstance(endpoint, Work):
        return {concrete(endpoint.subject): endpoint.assigned_by}
    if isinstance(endpoint, Journal):
        return {concrete(endpoint.subject): endpoint.written_by}
    assert isinstance(endpoint, Bucket)
    return {f"$KV.{endpoint.name}.k": endpoint.written_by}


def subscribers(endpoint: object) -> dict[str, tuple[str, ...]]:
    if isinstance(endpoint, Call) and endpoint.inside is not None:
        answered = (endpoint.answered_by,)
        return {concrete(endpoint.subject): answered, concrete(endpoint.inside): answered}
    if isinstance(endpoint, Call | Stream):
        return {concrete(endpoint.subject): (endpoint.answered_by,)}
    if isinstance(endpoint, Event):
        # who writes its own part of a shared log does not read the others'; a log of one writer is read by it too
        shared = "{service}" in endpoint.subject.pattern
        return {concrete(endpoint.subject): endpoint.heard_by + (() if shared else endpoint.emitted_by)}
    if isinstance(endpoint, Work | Journal):
        return {concrete(endpoint.subject): ()}
    assert isinstance(endpoint, Bucket)
    return {f"$KV.{endpoint.name}.k": endpoint.written_by + endpoint.read_by if endpoint.watched else ()}


def table(of: object) -> dict[str, tuple[str, ...]]:
    assert callable(of)
    merged: dict[str, tuple[str, ...]] = {}
    for endpoint in subjects.ENDPOINTS.values():
        for subject, who in of(endpoint).items():
            merged[subject] = merged.get(subject, ()) + tuple(who)
    return merged


async def settle(client: Client) -> None:
    await client.flush()
    await asyncio.sleep(0)
    await client.flush()
