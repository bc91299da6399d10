"""Provider keys: named in the models file, kept elsewhere, and never shown."""

from collections.abc import Mapping
from pathlib import Path

from penstock.kit.config import Secret

KEY_MAX_BYTES = 16 * 1024


class BadKeyReference(ValueError):
    """A reference that names no key. The text never holds the reference's value: it might be the key itself."""


def hide(key: Secret, said: bytes) -> bytes:
    """What a provider said, without the key that some of them echo."""
    return said.replace(key.reveal().encode(), b"[key]") if key else said


def find_key(reference: str, env: Mapping[str, str], folder: Path) -> Secret:
    """The key that `env:NAME` or `file:PATH` (relative to `folder`) names; no reference is no key."""
    if not reference:
        return Secret()
    scheme, _, place = reference.partition(":")
    if scheme == "env" and place:
        text = env.get(place, "").strip()
        if not text:
            raise BadKeyReference(f"the environment variable {place} is not set: set it, or name another key")
    elif scheme == "file" and place:
        text = _read(folder / place)
    else:
        raise BadKeyReference("write key: env:NAME or key: file:PATH; the key itself may not stand in the file")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise BadKeyReference(f"the key at {scheme}:{place} is not one line of printable ASCII")
    return Secret(text)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(KEY_MAX_BYTES + 1)
    except OSError as error:
        raise BadKeyReference(f"the key file {path} cannot be read: {error.strerror}") from None
    if len(raw) > KEY_MAX_BYTES:
        raise BadKeyReference(f"the key file {path} is larger than {KEY_MAX_BYTES} bytes")
    text = raw.decode("utf-8", "replace").strip()
    if not text:
        raise BadKeyReference(f"the key file {path} is empty")
    return text
