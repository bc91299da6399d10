"""Signed tree heads: C2SP tlog-checkpoint in a C2SP signed note, with Ed25519 keys (signature type 1)."""

import base64
import binascii
import re
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

NOTE_MAX_BYTES = 64 * 1024
_ED25519 = b"\x01"
_NAME = re.compile(r"[^\s+\x00-\x1f]{1,255}\Z")
_SIGNATURE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})\Z")
_SIZE = re.compile(r"(?:0|[1-9][0-9]{0,18})\Z")


class BadKey(ValueError):
    """A text that is no key. It never shows the text."""


class BadCheckpoint(ValueError):
    """A checkpoint that cannot be read or is not signed by the key, and why."""


@dataclass(frozen=True, slots=True)
class Head:
    """A tree of `size` leaves with this root, of the log named `origin`."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{_encode(self.root)}\n"


class VerifyingKey:
    """A public key: `<name>+<key id, 8 hex>+<base64 of type and key>`, as Go's `note` package writes it."""

    def __init__(self, name: str, public: bytes) -> None:
        if _NAME.match(name) is None:
            raise BadKey("a key's name is 1 to 255 characters without spaces and plus signs")
        self.name = name
        self.public = public
        self.id = sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4]
        self._key = Ed25519PublicKey.from_public_bytes(public)

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{_encode(_ED25519 + self.public)}"

    @classmethod
    def parse(cls, text: str) -> "VerifyingKey":
        """Raises BadKey."""
        name, _, rest = text.strip().partition("+")
        identity, _, encoded = rest.partition("+")
        data = _decode(encoded)
        if data is None or len(data) != 33 or data[:1] != _ED25519:
            raise BadKey("a public key of a log is written <name>+<8 hex digits>+<base64>")
        key = cls(name, data[1:])
        if key.id.hex() != identity:
            raise BadKey(f"the key id {identity[:16]} does not belong to the name and the key")
        return key

    def signed(self, text: str, signature: bytes) -> bool:
        try:
            self._key.verify(signature, text.encode())
        except InvalidSignature:
            return False
        return True


class SigningKey:
    """A private key: `PRIVATE+KEY+<name>+<key id>+<base64 of type and seed>`, as Go's `note` package writes it."""

    def __init__(self, name: str, seed: bytes) -> None:
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifying = VerifyingKey(name, self._key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"SigningKey({str(self.verifying)!r})"

    @classmethod
    def generate(cls, name: str) -> "SigningKey":
        return cls(name, Ed25519PrivateKey.generate().private_bytes_raw())

    def secret_text(self) -> str:
        """For the key's own file and nothing else."""
        key = self.verifying
        return f"PRIVATE+KEY+{key.name}+{key.id.hex()}+{_encode(_ED25519 + self._seed)}"

    @classmethod
    def parse(cls, text: str) -> "SigningKey":
        """Raises BadKey."""
        wrong = BadKey("a private key of a log is written PRIVATE+KEY+<name>+<8 hex digits>+<base64>")
        parts = text.strip().split("+", 4)
        if len(parts) != 5 or parts[:2] != ["PRIVATE", "KEY"]:
            raise wrong
        data = _decode(parts[4])
        if data is None or len(data) != 33 or data[:1] != _ED25519:
            raise wrong
        key = cls(parts[2], data[1:])
        if key.verifying.id.hex() != parts[3]:
            raise BadKey("the private key's id does not belong to its name")
        return key

    def sign(self, head: Head) -> bytes:
        """The whole checkpoint file."""
        text = head.text()
        key = self.verifying
        return f"{text}\n— {key.name} {_encode(key.id + self._key.sign(text.encode()))}\n".encode()


def open_checkpoint(note: bytes, key: VerifyingKey) -> Head:
    """The signed head. Raises BadCheckpoint. Signatures by other keys (of witnesses, say) are passed over."""
    text, signatures = _parts(note)
    ours = [data[4:] for name, data in signatures if name == key.name and data[:4] == key.id]
    if not ours:
        raise BadCheckpoint(f"it is not signed by {key.name}+{key.id.hex()}")
    if not all(key.signed(text, signature) for signature in ours):
        raise BadCheckpoint(f"its signature by {key.name}+{key.id.hex()} is wrong")
    head = _head(text)
    if head.origin != key.name:
        raise BadCheckpoint(f"it is of the log {head.origin!r}, not {key.name!r}")
    return head


def claimed_head(note: bytes) -> Head:
    """What a checkpoint says, whoever signed it. Raises BadCheckpoint."""
    return _head(_parts(note)[0])


def _parts(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    if len(note) > NOTE_MAX_BYTES:
        raise BadCheckpoint(f"it is larger than {NOTE_MAX_BYTES} bytes")
    try:
        whole = note.decode()
    except UnicodeDecodeError:
        raise BadCheckpoint("it is not UTF-8") from None
    if any(character < " " and character != "\n" for character in whole):
        raise BadCheckpoint("it holds a control character")
    text, blank, below = whole.rpartition("\n\n")
    if not blank or not below.endswith("\n"):
        raise BadCheckpoint("it does not end in a blank line and signature lines")
    return text + "\n", [_signature(line) for line in below[:-1].split("\n")]


def _signature(line: str) -> tuple[str, bytes]:
    match = _SIGNATURE.match(line)
    data = _decode(match[2]) if match else None
    if match is None or data is None or len(data) <= 4:
        raise BadCheckpoint("a signature line of it cannot be read")
    return match[1], data


def _head(text: str) -> Head:
    lines = text[:-1].split("\n")
    if len(lines) < 3 or "" in lines:
        raise BadCheckpoint("it has fewer than three lines of text, or an empty one")
    root = _decode(lines[2])
    if _SIZE.match(lines[1]) is None or root is None or len(root) != 32:
        raise BadCheckpoint("its size or its root cannot be read")
    return Head(lines[0], int(lines[1]), root)


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes | None:
    """Strict: the one text that `_encode` would have made."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if _encode(data) == text else None
