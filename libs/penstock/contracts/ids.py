"""Identifiers. Every id is one valid NATS subject token: 1 to 64 of A-Z a-z 0-9 _ and -."""

import hashlib
import os
import re
import time
import zlib

MAX_TOKEN_LENGTH = 64
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


class InvalidToken(ValueError):
    """A text that may not stand in a subject."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        shown = text if len(text) <= 80 else text[:77] + "..."
        super().__init__(f"{name} must be 1 to 64 of A-Z a-z 0-9 _ and -, not {shown!r}")


def is_token(text: str) -> bool:
    """Whether `text` may stand as one token of a subject."""
    return _TOKEN.match(text) is not None


def token(name: str, text: str) -> str:
    """`text` itself when it may stand in a subject; raises InvalidToken, which names the field, when not."""
    if _TOKEN.match(text) is None:
        raise InvalidToken(name, text)
    return text


def new_id(prefix: str) -> str:
    """A new id `<prefix>_<12 hex of milliseconds><16 hex of randomness>`: unguessable, and sorted by time."""
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{os.urandom(8).hex()}"


def job_id(tenant: str, idempotency_key: str) -> str:
    """The one job id that this tenant's idempotency key stands for: the same key twice is one job."""
    digest = hashlib.sha256(f"{len(tenant)}:{tenant}{idempotency_key}".encode())
    return f"job_{digest.hexdigest()[:32]}"


def run_id(tenant: str, job: str) -> str:
    """The run that carries out this tenant's job, unique over all tenants: two tenants may choose the same job id."""
    digest = hashlib.sha256(f"{len(tenant)}:{tenant}{job}".encode())
    return f"run_{digest.hexdigest()[:32]}"


def partition(run: str) -> str:
    """The run's partition, two hex digits of crc32 modulo 64, part of its subjects for later sharding."""
    return f"{zlib.crc32(run.encode()) % 64:02x}"
