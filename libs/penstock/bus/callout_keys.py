"""The three keys of the broker's auth callout: who answers it, who vouches for clients, who may read questions.

Each is a file of its own in one folder, mode 0600. The curve key (X…) is one that the nkeys package does not know; its
form is that of the others: a prefix byte, 32 bytes and a CRC-16, in base 32.
"""

import base64
import binascii
import os
from dataclasses import dataclass
from pathlib import Path

import nkeys
from nacl.exceptions import CryptoError
from nacl.public import Box, PrivateKey, PublicKey
from nacl.signing import VerifyKey

from penstock.bus.nkey import load_or_make, new_file
from penstock.contracts.errors import Code, Failure

USER_SEED, ISSUER_SEED, CURVE_SEED = "user.seed", "issuer.seed", "curve.seed"
SEALED = b"xkv1"
NONCE_BYTES = 24
_SEED, _SERVER, _CURVE = 18 << 3, 13 << 3, 23 << 3


@dataclass(frozen=True)
class CalloutPublic:
    """The public halves, for the broker's configuration: U…, A… and X…."""

    user: str
    issuer: str
    curve: str


class Issuer:
    """Signs what the broker is told of a client; it believes nobody else."""

    def __init__(self, seed: bytes) -> None:
        self._pair = nkeys.from_seed(bytearray(seed))  # type: ignore[no-untyped-call]  # untyped
        public: bytes = self._pair.public_key
        self.public = public.decode()

    def sign(self, text: bytes) -> bytes:
        """The Ed25519 signature."""
        signature: bytes = self._pair.sign(text)
        return signature


class Curve:
    """Opens what the broker sealed for us, and seals what only that broker may read (X25519, XSalsa20, Poly1305)."""

    def __init__(self, seed: bytes) -> None:
        self._private = PrivateKey(seed)
        self.public = _encoded(bytes([_CURVE]) + bytes(self._private.public_key))

    def open(self, sealed: bytes, sender: str) -> bytes:
        """Raises Failure(INVALID) for what was not sealed for us by this sender (X…)."""
        start = len(SEALED) + NONCE_BYTES
        if not sealed.startswith(SEALED) or len(sealed) <= start:
            raise Failure(Code.INVALID, "it is not sealed")
        try:
            return self._box(sender).decrypt(sealed[start:], sealed[len(SEALED) : start])
        except CryptoError:
            raise Failure(Code.INVALID, "it was not sealed for us") from None

    def seal(self, text: bytes, receiver: str) -> bytes:
        """Raises Failure(INVALID) for a receiver that is no curve key."""
        nonce = os.urandom(NONCE_BYTES)
        return SEALED + nonce + self._box(receiver).encrypt(text, nonce).ciphertext

    def _box(self, other: str) -> Box:
        raw = _decoded(other)
        if len(raw) != 33 or raw[0] != _CURVE:
            raise Failure(Code.INVALID, "it names no curve key")
        return Box(self._private, PublicKey(raw[1:]))


def signed_by_server(server: str, text: bytes, signature: bytes) -> bool:
    """Whether the holder of this server key (N…) signed the text."""
    try:
        raw = _decoded(server)
        if len(raw) != 33 or raw[0] != _SERVER:
            return False
        VerifyKey(raw[1:]).verify(text, signature)
    except (Failure, CryptoError, ValueError):
        return False
    return True


@dataclass(frozen=True)
class CalloutKeys:
    """The secrets of whoever answers. `user_seed_file` is what its connection is made with."""

    user_seed_file: str
    issuer: Issuer
    curve: Curve


def make_callout_keys(folder: Path) -> CalloutPublic:
    """Makes what is missing in `folder`, and gives the public halves of what is there. Raises as `callout_keys`."""
    user = load_or_make(folder / USER_SEED)
    for name, seed in ((ISSUER_SEED, _new_issuer), (CURVE_SEED, _new_curve)):
        if not (folder / name).exists():
            new_file(folder / name, seed())
    keys = callout_keys(folder)
    return CalloutPublic(user, keys.issuer.public, keys.curve.public)


def callout_keys(folder: Path) -> CalloutKeys:
    """Raises Failure(INVALID), which names the file, for a key that is not there or is none."""
    return CalloutKeys(
        str(folder / USER_SEED),
        Issuer(_read(folder / ISSUER_SEED, nkeys.PREFIX_BYTE_ACCOUNT)[0]),
        Curve(_read(folder / CURVE_SEED, _CURVE)[1]),
    )


def _read(path: Path, prefix: int) -> tuple[bytes, bytes]:
    """The seed as it is written, and its 32 bytes."""
    try:
        text = path.read_bytes().strip()
    except OSError as error:
        raise Failure(Code.INVALID, f"the seed file {path} cannot be read: {error.strerror}") from error
    try:
        raw = _decoded(text.decode())
    except (Failure, UnicodeDecodeError):
        raw = b""
    if len(raw) != 34 or raw[:2] != _seed_head(prefix):
        raise Failure(Code.INVALID, f"the seed file {path} holds no seed of the kind that belongs there")
    return text, raw[2:]


def _new_issuer() -> bytes:
    return bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_ACCOUNT))  # type: ignore[no-untyped-call]  # untyped


def _new_curve() -> bytes:
    return _encoded(_seed_head(_CURVE) + os.urandom(32)).encode()


def _seed_head(prefix: int) -> bytes:
    """Five bits say that it is a seed, the next eight whose."""
    return bytes([_SEED | prefix >> 5, (prefix & 31) << 3])


def _encoded(body: bytes) -> str:
    checked = body + binascii.crc_hqx(body, 0).to_bytes(2, "little")
    return base64.b32encode(checked).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    """Raises Failure(INVALID)."""
    try:
        raw = base64.b32decode(text + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError):
        raise Failure(Code.INVALID, "it is no nkey") from None
    if len(raw) < 3 or binascii.crc_hqx(raw[:-2], 0).to_bytes(2, "little") != raw[-2:]:
        raise Failure(Code.INVALID, "it is no nkey")
    return raw[:-2]
