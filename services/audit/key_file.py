"""The log's own key: a private file that is made once, and the public key beside it for whoever verifies."""

from pathlib import Path

from services.audit.checkpoint import BadKey, SigningKey
from services.audit.disk import Disk

PRIVATE = "key"
PUBLIC = "key.pub"


class KeyUnusable(Exception):
    """The key's file cannot be used, and what to do. Never shows what stands in it."""


def own_key(folder: Path, origin: str, disk: Disk) -> SigningKey:
    """The key in this folder; made, with mode 0600, where nothing was signed yet. Raises KeyUnusable."""
    path = folder / PRIVATE
    if not path.exists():
        if (folder / "log" / "checkpoint").exists():
            raise KeyUnusable(f"The log in {folder} is signed by a key that is not there any more: put {path} back.")
        key = SigningKey.generate(origin)
        disk.write(path, f"{key.secret_text()}\n".encode(), private=True)
    if path.stat().st_mode & 0o077:
        raise KeyUnusable(f"Others than its owner may read {path}: write chmod 600 {path}, and consider the key lost.")
    try:
        key = SigningKey.parse(path.read_text(encoding="utf-8"))
    except (BadKey, UnicodeDecodeError) as error:
        raise KeyUnusable(f"{path} holds no key: {error if isinstance(error, BadKey) else 'it is no text'}.") from None
    if key.verifying.name != origin:
        raise KeyUnusable(
            f"{path} is the key of the log {key.verifying.name!r}: set PENSTOCK_LOG_ORIGIN to that, or give the log"
            f" {origin!r} a folder of its own."
        )
    disk.write(folder / PUBLIC, f"{key.verifying}\n".encode())
    disk.settle()
    return key
