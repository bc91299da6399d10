"""Set-up: makes the streams, buckets and consumers of the table exactly as they must be, and says what differs."""

from dataclasses import dataclass

import msgspec

from penstock.bus.jetstream import JetStream, Refused
from penstock.bus.store_config import (
    AnyBucket,
    Settings,
    Value,
    bucket_settings,
    consumer_settings,
    differences,
    stream_settings,
)
from penstock.contracts import stores, subjects
from penstock.contracts.endpoint import Bucket, Consumer, Event, Journal, StreamStore, Work
from penstock.contracts.errors import Code, Failure

_MISSING = frozenset({10059, 10014})


class _Info(msgspec.Struct, frozen=True):
    config: dict[str, msgspec.Raw]


@dataclass(frozen=True, slots=True)
class _Asset:
    """One thing that must be there. `path`: its place in the API's subjects."""

    what: str
    kind: str
    path: str
    settings: Settings

    def body(self, action: str) -> object:
        """The API's request to create or update it."""
        if self.kind == "STREAM":
            return self.settings
        return {"stream_name": self.path.partition(".")[0], "config": self.settings, "action": action}

    def verb(self, action: str) -> str:
        """The API's subject for it."""
        if self.kind == "CONSUMER" and action == "UPDATE":
            action = "CREATE"
        return f"{self.kind}.{action}.{self.path}"


@dataclass(frozen=True, slots=True)
class Table:
    """What must be there. The plane's own is made by `whole_table`."""

    stores: tuple[StreamStore, ...]
    buckets: tuple[AnyBucket, ...]
    consumers: tuple[Consumer, ...]

    def assets(self, replicas: int) -> list[_Asset]:
        """Streams before the consumers on them."""
        found = [
            _Asset(f"stream {store.name}", "STREAM", store.name, stream_settings(store, replicas))
            for store in self.stores
        ]
        found += [
            _Asset(f"bucket {bucket.name}", "STREAM", bucket.store.name, bucket_settings(bucket, replicas))
            for bucket in self.buckets
        ]
        found += [
            _Asset(f"consumer {c.name}", "CONSUMER", f"{c.store.name}.{c.name}", consumer_settings(c))
            for c in self.consumers
        ]
        return found


def whole_table() -> Table:
    """Everything in the table of subjects."""
    buckets = tuple(endpoint for endpoint in subjects.ENDPOINTS.values() if isinstance(endpoint, Bucket))
    return Table(stores.STORES, buckets, subjects.CONSUMERS)


def table_of(service: str) -> Table:
    """What `service` reads or writes: its streams, buckets and consumers, and what every worker needs."""
    kept = {stores.BLOB.name: stores.BLOB}
    buckets = []
    consumers = tuple(consumer for consumer in subjects.CONSUMERS if consumer.used_by == service)
    for endpoint in subjects.ENDPOINTS.values():
        if isinstance(endpoint, Bucket) and service in endpoint.written_by + endpoint.read_by:
            buckets.append(endpoint)
        store = _used_store(endpoint, service)
        if store is not None:
            kept[store.name] = store
    for consumer in consumers:
        kept |= {consumer.store.name: consumer.store, stores.DLQ.name: stores.DLQ}
    return Table(tuple(kept.values()), tuple(buckets), consumers)


def _used_store(endpoint: object, service: str) -> StreamStore | None:
    if isinstance(endpoint, Event) and service in endpoint.emitted_by + endpoint.heard_by:
        return endpoint.store
    if isinstance(endpoint, Work) and service in endpoint.assigned_by:
        return endpoint.consumer.store
    if isinstance(endpoint, Journal) and service in endpoint.written_by + endpoint.read_by:
        return endpoint.store
    return None


class Setup:
    """Needs the set-up identity to prepare; `drift` needs only to read."""

    def __init__(self, jetstream: JetStream, replicas: int = 1) -> None:
        self._jetstream = jetstream
        self._replicas = replicas

    async def prepare(self, table: Table | None = None) -> list[str]:
        """Creates what is missing and changes what differs; a sentence for each. Safe to repeat, and at the same time.

        Raises Failure(CONFLICT) for what JetStream does not allow to be changed in place.
        """
        done = []
        for asset in (table or whole_table()).assets(self._replicas):
            actual = await self._actual(asset)
            if actual is None:
                await self._ask(asset, "CREATE")
                done.append(f"{asset.what}: made")
                continue
            different = differences(asset.what, asset.settings, actual)
            if different:
                await self._ask(asset, "UPDATE")
                done += [f"{sentence}: changed" for sentence in different]
        return done

    async def drift(self, service: str) -> list[str]:
        """What differs from the table, for what `service` uses; empty is good."""
        return await self.drift_of(table_of(service))

    async def drift_of(self, table: Table) -> list[str]:
        """What differs from `table`."""
        found = []
        for asset in table.assets(self._replicas):
            actual = await self._actual(asset)
            if actual is None:
                found.append(f"{asset.what} does not exist: the set-up has not been run")
            else:
                found += differences(asset.what, asset.settings, actual)
        return found

    async def _actual(self, asset: _Asset) -> dict[str, Value] | None:
        patience = self._jetstream.patience()
        while True:
            try:
                info = await self._jetstream.ask(asset.verb("INFO"), {}, _Info, asset.what)
            except Refused as refused:
                if refused.number in _MISSING:
                    return None
                await patience.after(refused)
            except Failure as failure:
                await patience.after(failure)
            else:
                return {name: msgspec.json.decode(raw) for name, raw in info.config.items()}

    async def _ask(self, asset: _Asset, action: str) -> None:
        patience = self._jetstream.patience()
        while True:
            try:
                await self._jetstream.ask(asset.verb(action), asset.body(action.lower()), _Info, asset.what)
            except Refused as refused:
                if refused.code is Code.INTERNAL:
                    raise Failure(Code.CONFLICT, f"cannot be set up. {refused.detail}") from refused
                await patience.after(refused)
            except Failure as failure:
                await patience.after(failure)
            else:
                return
