"""Publishes the log's public key, and notices that another log's key is published already."""

import base64

from penstock.bus import Bus
from penstock.contracts.errors import Code, Failure
from penstock.contracts.governance import KEYS
from penstock.contracts.policy import Key
from penstock.contracts.services import AUDIT
from services.audit.checkpoint import VerifyingKey


def key_id(key: VerifyingKey) -> str:
    """Its name in the bucket: `audit-<id in the log's checkpoints>`."""
    return f"audit-{key.id.hex()}"


async def publish_key(bus: Bus, key: VerifyingKey, *, log_is_empty: bool, allow_new: bool) -> None:
    """Raises Failure(CONFLICT) when an empty log would quietly take the place of another one."""
    bucket = bus.bucket(KEYS)
    own = key_id(key)
    published = [entry.key for entry in await bucket.entries() if entry.value.use == AUDIT]
    if log_is_empty and published and own not in published and not allow_new:
        raise Failure(
            Code.CONFLICT,
            f"The audit log's folder is empty, but the key of another log is published ({', '.join(published)}). Put"
            " back the folder that belongs to it; or set PENSTOCK_LOG_NEW=true to begin a new log with its own key.",
        )
    if own not in published:
        public = base64.urlsafe_b64encode(key.public).decode().rstrip("=")
        await bucket.put(own, Key(own, public, AUDIT))
