"""How often a task was given back without an attempt. The broker counts deliveries only; the difference is attempts."""

import logging

from penstock.bus.bucket import BucketHandle
from penstock.bus.jetstream import JetStream
from penstock.contracts.endpoint import Consumer
from penstock.contracts.errors import Code, Failure
from penstock.contracts.subjects import RELEASES

_log = logging.getLogger("penstock.bus")


class Released:
    """The counts of one consumer, shared by all its workers."""

    def __init__(self, jetstream: JetStream, consumer: Consumer) -> None:
        self._bucket = BucketHandle(jetstream, RELEASES)
        self._prefix = f"{consumer.store.name}.{consumer.name}."

    async def add(self, sequence: int) -> None:
        """One more. When it cannot be written the task has an attempt fewer: logged, not raised."""
        key = f"{self._prefix}{sequence}"
        try:
            while True:
                entry = await self._bucket.get(key)
                try:
                    if entry is None:
                        await self._bucket.create(key, 1)
                    else:
                        await self._bucket.update(key, entry.value + 1, entry.revision)
                except Failure as failure:
                    if failure.code is not Code.CONFLICT:
                        raise
                else:
                    return
        except Failure as failure:
            _log.warning("a release was not counted", extra={"fields": {"task": key, "why": failure.detail}})

    async def count(self, sequence: int) -> int:
        """So far. Raises Failure when the broker does not say."""
        entry = await self._bucket.get(f"{self._prefix}{sequence}", fresh=True)
        return 0 if entry is None else entry.value
