"""The file of API keys: JSON, mode 0600, written whole. `penstock keys` writes it, the policy service reads it."""

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from penstock.local.layout import write_private
from services.policy.identity.keys import ApiKey, KeyRefused, KeyRing, checked, credential, digest_of

FILE_MAX_BYTES = 64 * 1024 * 1024


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keys: tuple[ApiKey, ...] = ()
    version: int = 1


def read_keys(path: Path) -> KeyRing:
    """The keys in the file; none when there is no file yet. Raises KeyRefused."""
    try:
        if path.stat().st_size > FILE_MAX_BYTES:
            raise KeyRefused(f"the keys file {path} is larger than {FILE_MAX_BYTES} bytes")
        text = path.read_bytes()
    except FileNotFoundError:
        return KeyRing()
    except OSError as error:
        raise KeyRefused(f"the keys file {path} cannot be read: {error.strerror}") from error
    try:
        file = msgspec.json.decode(text, type=_File)
    except msgspec.DecodeError as error:
        raise KeyRefused(f"the keys file {path} cannot be used: {error}") from error
    if file.version != 1:
        raise KeyRefused(f"the keys file {path} is of version {file.version}; this release reads version 1")
    return KeyRing(file.keys)


def create_key(path: Path, wanted: ApiKey, now: float) -> tuple[ApiKey, str]:
    """Makes a key with the grants of `wanted` (its id, digest and times are not looked at, but for `expires`).

    Returns what is kept and the key itself, which can never be shown again. Raises KeyRefused.
    """
    key_id, secret = os.urandom(6).hex(), secrets.token_urlsafe(32)
    key = checked(msgspec.structs.replace(wanted, id=key_id, digest=digest_of(secret), created=now, revoked=0.0))
    _change(path, lambda ring: ring.with_key(key))
    return key, credential(key_id, secret)


def revoke_key(path: Path, key_id: str, now: float) -> None:
    """The key is refused from now on; services notice within a second. Raises KeyRefused."""
    _change(path, lambda ring: ring.without(key_id, now))


def _change(path: Path, change: Callable[[KeyRing], KeyRing]) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(path):
        ring = change(read_keys(path))
        text = msgspec.json.format(msgspec.json.encode(_File(ring.keys)), indent=2)
        write_private(path, text + b"\n")


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two commands at once: one after the other."""
    handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
