"""Transaction tokens: who acts for whom, with what rights, on whose account. Signed here and nowhere else.

Compact JWS with Ed25519 (RFC 8037) in the shape of OAuth Transaction Tokens; nested `act` of RFC 8693, section 4.1.
"""

import base64
import hashlib
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from penstock.contracts.errors import Code, Failure
from penstock.contracts.policy import Identity, Key
from penstock.kit.identity import (
    ALGORITHM,
    AUDIENCE,
    ISSUER,
    TOKEN_KEY_USE,
    TOKEN_MAX_BYTES,
    TOKEN_TYPE,
    Claims,
)
from penstock.local.layout import write_private


class Signer:
    """Holds the private key; `public` goes into the bucket `keys`."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        raw = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.public = Key(kid=hashlib.sha256(raw).hexdigest()[:32], public=_b64(raw), use=TOKEN_KEY_USE)
        self._header = _b64(msgspec.json.encode({"alg": ALGORITHM, "kid": self.public.kid, "typ": TOKEN_TYPE}))

    def sign(self, claims: Claims) -> Identity:
        """The token that says this, and whose it is. Raises Failure(TOO_LARGE)."""
        signed = f"{self._header}.{_b64(msgspec.json.encode(_payload(claims)))}"
        token = f"{signed}.{_b64(self._private.sign(signed.encode()))}"
        if len(token) > TOKEN_MAX_BYTES:
            raise Failure(Code.TOO_LARGE, "the token would be too large: ask for fewer scopes or tools")
        return Identity(
            tenant=claims.tenant,
            subject=claims.sub,
            token=token,
            expires=claims.exp,
            key=claims.key,
            scopes=claims.scopes,
        )


def signer_at(path: Path) -> Signer:
    """The signing key in this file, made at the first start (mode 0600). Raises Failure(INVALID)."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        private = Ed25519PrivateKey.generate()
        write_private(
            path,
            private.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )
    try:
        loaded = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except ValueError:
        loaded = None
    if not isinstance(loaded, Ed25519PrivateKey):
        raise Failure(Code.INVALID, f"{path} holds no Ed25519 key: move it away and a new one is made")
    return Signer(loaded)


def _payload(claims: Claims) -> dict[str, object]:
    payload: dict[str, object] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": claims.sub,
        "tenant": claims.tenant,
        "txn": claims.txn,
        "scope": " ".join(claims.scopes),
        "tools": claims.tools,
        "run": claims.run,
        "key": claims.key,
        "accounts": claims.accounts,
        "exp": claims.exp,
        "iat": claims.iat,
        "lineage": claims.lineage,
        "team": claims.team,
    }
    act = _act(claims.chain)
    if act is not None:
        payload["act"] = act
    return payload


def _act(chain: tuple[str, ...]) -> dict[str, object] | None:
    """Who acts now is outermost; who acted before is nested in it."""
    act: dict[str, object] | None = None
    for actor in chain:
        act = {"sub": actor} if act is None else {"sub": actor, "act": act}
    return act


def _b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
