"""NATS user keys: made once, the seed in a private file."""

import os
from pathlib import Path

import nkeys

from penstock.contracts.errors import Code, Failure


def new_user_seed() -> bytes:
    """A fresh seed of a user key (SU…)."""
    return bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))  # type: ignore[no-untyped-call]  # untyped


def public_key(seed: bytes) -> str:
    """The public half (U…) of a seed."""
    key: bytes = nkeys.from_seed(bytearray(seed)).public_key  # type: ignore[no-untyped-call]  # untyped
    return key.decode()


def check_seed(path: Path) -> None:
    """Raises Failure(INVALID), which names the file, when it holds no seed."""
    try:
        public_key(path.read_bytes().strip())
    except OSError as error:
        raise Failure(Code.INVALID, f"the seed file {path} cannot be read: {error.strerror}") from error
    except (nkeys.NkeysError, ValueError) as error:
        raise Failure(Code.INVALID, f"the seed file {path} holds no nkey seed") from error


def load_or_make(path: Path) -> str:
    """The public key of the seed in `path`, which is made with mode 0600 when it is not there."""
    if not path.exists():
        new_file(path, new_user_seed())
    return public_key(path.read_bytes().strip())


def new_file(path: Path, seed: bytes) -> None:
    """Writes a seed where none is yet, for its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(seed)
