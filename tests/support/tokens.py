"""Transaction tokens and their keys, for tests that are not about policy."""

import base64
import json
import time

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from penstock.bus import Bus
from penstock.contracts.governance import KEYS
from penstock.contracts.policy import Key

Json = dict[str, object]


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class TestSigner:
    """Signs what the test says; `publish` puts the public key where services look for it."""

    __test__ = False

    def __init__(self, kid: str = "k1", use: str = "policy") -> None:
        self.kid = kid
        self._use = use
        self._private = Ed25519PrivateKey.generate()

    @property
    def public(self) -> Key:
        return Key(self.kid, base64url(self._private.public_key().public_bytes_raw()), self._use)

    async def publish(self, bus: Bus) -> None:
        await bus.bucket(KEYS).put(self.kid, self.public)

    def token(self, header: Json | None = None, /, **claims: object) -> str:
        """Good for an hour, for user:alice of acme, unless `claims` say otherwise; None leaves a claim out."""
        payload = {
            "iss": "penstock",
            "aud": "penstock",
            "sub": "user:alice",
            "tenant": "acme",
            "exp": time.time() + 3600,
            **claims,
        }
        payload = {name: value for name, value in payload.items() if value is not None}
        head = {"alg": "EdDSA", "kid": self.kid, "typ": "txntoken+jwt"} if header is None else header
        signed = base64url(json.dumps(head).encode()) + "." + base64url(json.dumps(payload).encode())
        return signed + "." + base64url(self._private.sign(signed.encode()))
