"""The exact configuration of each stream, bucket and consumer, as JetStream's API writes it."""

from typing import Protocol

from penstock.contracts.endpoint import Consumer, StreamStore

Value = str | int | bool | list[str] | dict[str, int]
Settings = dict[str, Value]

_NANOSECONDS = 1_000_000_000
_UNLIMITED = -1

OPERATORS_CHOICE = frozenset({"num_replicas", "placement", "description", "metadata", "pause_until"})
"""Left to whoever runs the broker; their values are not compared."""


class AnyBucket(Protocol):
    """A Bucket, whatever its values are."""

    @property
    def name(self) -> str:
        """The bucket's name."""

    @property
    def store(self) -> StreamStore:
        """The stream under it."""


def stream_settings(store: StreamStore, replicas: int) -> Settings:
    """Every setting is named, those at the server's default too: what is not named here must not be set."""
    age_s = store.max_age_s
    return {
        "name": store.name,
        "subjects": list(store.subjects),
        "retention": "workqueue" if store.work_queue else "limits",
        "storage": "memory" if store.memory else "file",
        "discard": "new" if store.discard_new else "old",
        "num_replicas": replicas,
        "max_consumers": _UNLIMITED,
        "max_msgs": _UNLIMITED,
        "max_msgs_per_subject": _UNLIMITED,
        "max_bytes": store.max_bytes or _UNLIMITED,
        "max_age": age_s * _NANOSECONDS,
        "max_msg_size": store.max_msg_bytes,
        "duplicate_window": min(store.duplicate_window_s, age_s or store.duplicate_window_s) * _NANOSECONDS,
        "compression": "s2" if store.compressed else "none",
        "allow_direct": True,
        "mirror_direct": False,
        "sealed": False,
        "deny_delete": store.deny_delete,
        "deny_purge": store.deny_purge,
        # timers replace one another by roll-up: the server turns it on with schedules, and nowhere else may it be on
        "allow_rollup_hdrs": store.schedules,
        "allow_msg_ttl": store.ttl,
        "allow_msg_schedules": store.schedules,
    }


def bucket_settings(bucket: AnyBucket, replicas: int) -> Settings:
    """A bucket's stream: one value per key."""
    return stream_settings(bucket.store, replicas) | {"max_msgs_per_subject": 1, "deny_delete": True}


def consumer_settings(consumer: Consumer) -> Settings:
    """A durable pull consumer; messages are acknowledged one by one and never given up by the server."""
    return {
        "durable_name": consumer.name,
        "name": consumer.name,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": consumer.ack_wait_s * _NANOSECONDS,
        "max_deliver": _UNLIMITED,
        "max_ack_pending": consumer.held_max,
        "max_waiting": 512,
        "filter_subject": consumer.filter,
        "replay_policy": "instant",
        "num_replicas": 0,
    }


def differences(what: str, wanted: Settings, actual: dict[str, Value]) -> list[str]:
    """One sentence for each setting of `actual` that is not as wanted; a setting that is nowhere named must be off."""
    found = []
    for name in sorted(wanted.keys() | actual.keys()):
        if name in OPERATORS_CHOICE:
            continue
        must, value = wanted.get(name), actual.get(name)
        if (value or must) and value != must:
            found.append(f"{what}: {name} is {_shown(name, value)}, it must be {_shown(name, must)}")
    return found


def _shown(name: str, value: Value | None) -> str:
    if not value and not isinstance(value, int):
        return "not set"
    if name in ("max_age", "duplicate_window", "ack_wait") and isinstance(value, int):
        return f"{value / _NANOSECONDS:g} s"
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
