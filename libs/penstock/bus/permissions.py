"""Who may publish and subscribe to what, worked out from the table of subjects: the least that each principal needs."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from penstock.contracts import services, stores, subjects
from penstock.contracts.endpoint import TENANT_CLIENT, Bucket, Call, Consumer, Event, Journal, Stream, StreamStore, Work

SETUP = "setup"
"""The identity that makes streams and consumers, and nothing else."""
CALLOUT = "callout"
"""The identity by which policy answers the broker's auth callout, in the broker's system account."""
ACCOUNT = "PENSTOCK"
"""The broker's account of the plane: its services, and the clients of all tenants."""
CALLOUT_QUESTIONS = "$SYS.REQ.USER.AUTH"
CALLOUT_LIST = f"$SYS.REQ.ACCOUNT.{ACCOUNT}.CONNZ"


@dataclass
class Grants:
    """Subjects that a principal may publish to and subscribe to; whatever is not listed is denied."""

    publish: set[str] = field(default_factory=set)
    subscribe: set[str] = field(default_factory=set)


def principals(tenants: Iterable[str] = ()) -> dict[str, Grants]:
    """Everyone whom the broker's configuration knows: the plane's services, the set-up, and a client `tenant-<tenant>`
    of each tenant that is to get in without policy being asked."""
    found = {service: service_grants(service) for service in services.SERVICES}
    found[SETUP] = setup_grants()
    return found | {f"tenant-{tenant}": tenant_grants(tenant) for tenant in tenants}


def service_grants(service: str) -> Grants:
    """What a service of the plane needs on the bus."""
    grants = Grants()
    grants.subscribe.add(f"_INBOX.{service}.>")
    grants.subscribe.add(subjects.CANCEL.wildcard)
    grants.publish.add(subjects.CANCEL.wildcard)
    grants.subscribe.add("$SRV.>")
    grants.publish.add(f"_INBOX.{SETUP}.>")
    for endpoint in subjects.ENDPOINTS.values():
        if isinstance(endpoint, Call | Stream):
            _answering(grants, service, endpoint)
        elif isinstance(endpoint, Event):
            _event(grants, service, endpoint)
        elif isinstance(endpoint, Work):
            _work(grants, service, endpoint)
        elif isinstance(endpoint, Journal):
            _journal(grants, service, endpoint)
        elif isinstance(endpoint, Bucket):
            _bucket(grants, service, endpoint)
    for consumer in subjects.CONSUMERS:
        if consumer.used_by == service:
            _consumer(grants, consumer)
    grants.publish.add(subjects.BLOB_CHUNK.wildcard)
    _reading(grants, stores.BLOB)
    return grants


def tenant_grants(tenant: str, *, hears_events: bool = True) -> Grants:
    """What a tenant's own NATS client may do: its calls and its events; nothing of JetStream, and nothing that a stream
    captures. `hears_events`: whether it may follow the tenant's jobs."""
    grants = Grants()
    grants.subscribe.add(subjects.TENANT_INBOX.within(tenant=tenant))
    grants.subscribe.add(subjects.TENANT_INBOX.within(tenant=tenant) + ".>")
    for endpoint in subjects.ENDPOINTS.values():
        if isinstance(endpoint, Call) and TENANT_CLIENT in endpoint.called_by:
            grants.publish.add(endpoint.subject.within(tenant=tenant))
        elif hears_events and isinstance(endpoint, Event) and TENANT_CLIENT in endpoint.heard_by:
            grants.subscribe.add(endpoint.subject.within(tenant=tenant))
    return grants


def setup_grants() -> Grants:
    """The JetStream API and the services' own descriptions; no data subject of the plane."""
    return Grants(publish={"$JS.API.>", "$SRV.>"}, subscribe={f"_INBOX.{SETUP}.>"})


def callout_grants() -> Grants:
    """Hear who wants in, list who is in, end a connection. It answers by the broker's leave to answer what it heard,
    once each, which is written in server_config.py."""
    return Grants(publish={CALLOUT_LIST, kick_subject("*")}, subscribe={CALLOUT_QUESTIONS, f"_INBOX.{CALLOUT}.>"})


def kick_subject(server: str) -> str:
    """Where this server is told to end a connection."""
    return f"$SYS.REQ.SERVER.{server}.KICK"


def _answering(grants: Grants, service: str, endpoint: Call[object, object] | Stream[object, object]) -> None:
    if endpoint.answered_by == service:
        grants.subscribe.add(endpoint.subject.wildcard)
        if isinstance(endpoint, Call):
            grants.subscribe.add(endpoint.asked_at(by_tenant=False).wildcard)
        for caller in endpoint.called_by:
            grants.publish.add("_INBOX.tenant.>" if caller == TENANT_CLIENT else f"_INBOX.{caller}.>")
        # every serving process hears what the readers of its streams grant
        grants.subscribe.add(subjects.FLOW.within(service=service))
    if service in endpoint.called_by:
        asked = endpoint.asked_at(by_tenant=False) if isinstance(endpoint, Call) else endpoint.subject
        grants.publish.add(asked.wildcard)
        if isinstance(endpoint, Stream):
            grants.publish.add(subjects.FLOW.within(service=endpoint.answered_by))


def _event(grants: Grants, service: str, endpoint: Event[object]) -> None:
    if service in endpoint.emitted_by:
        own = "{service}" in endpoint.subject.pattern
        grants.publish.add(endpoint.subject.within(service=service) if own else endpoint.subject.wildcard)
    # who writes its own part of a log that many write does not read the others'
    shared = "{service}" in endpoint.subject.pattern
    if service in endpoint.heard_by or (service in endpoint.emitted_by and not shared):
        grants.subscribe.add(endpoint.subject.wildcard)
        _reading(grants, endpoint.store)
    elif service in endpoint.emitted_by:
        # whether it is set up right is checked at the start, and whether it is there all the time
        grants.publish.add(f"$JS.API.STREAM.INFO.{endpoint.store.name}")


def _work(grants: Grants, service: str, endpoint: Work[object]) -> None:
    if service in endpoint.assigned_by:
        grants.publish.add(endpoint.subject.wildcard)
        grants.publish.add(f"$JS.API.STREAM.INFO.{endpoint.consumer.store.name}")


def _journal(grants: Grants, service: str, endpoint: Journal[object]) -> None:
    if service in endpoint.written_by:
        grants.publish.add(endpoint.subject.wildcard)
    if service in endpoint.written_by + endpoint.read_by:
        _reading(grants, endpoint.store)


def _bucket(grants: Grants, service: str, endpoint: Bucket[object]) -> None:
    if service in endpoint.written_by:
        grants.publish.add(f"$KV.{endpoint.name}.>")
    if service in endpoint.written_by + endpoint.read_by:
        _reading(grants, endpoint.store)
        if endpoint.watched:
            grants.subscribe.add(f"$KV.{endpoint.name}.>")


def _consumer(grants: Grants, consumer: Consumer) -> None:
    stream, name = consumer.store.name, consumer.name
    grants.publish.add(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}")
    grants.publish.add(f"$JS.API.CONSUMER.INFO.{stream}.{name}")
    grants.publish.add(f"$JS.ACK.{stream}.{name}.>")
    # what cannot be read goes to the dead letters; whether they are set up right is checked at the start
    grants.publish.add(subjects.DEAD_LETTER.at(store=stream))
    grants.publish.add(f"$JS.API.STREAM.INFO.{stores.DLQ.name}")
    grants.publish.add(f"$JS.ACK.*.*.{stream}.{name}.>")  # the newer form, behind a feature flag of the server
    _reading(grants, consumer.store)


def _reading(grants: Grants, store: StreamStore) -> None:
    grants.publish.add(f"$JS.API.DIRECT.GET.{store.name}")
    grants.publish.add(f"$JS.API.DIRECT.GET.{store.name}.>")
    grants.publish.add(f"$JS.API.STREAM.MSG.GET.{store.name}")
    grants.publish.add(f"$JS.API.STREAM.INFO.{store.name}")
