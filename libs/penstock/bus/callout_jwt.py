"""The JWTs of the broker's auth callout: the question, which a server signed, and the answer, which the issuer signs.

Ed25519 over `header.claims` with nkeys as `iss` and `sub`; the claims are those of nats.io's JWT, version 2.
"""

import base64
import binascii
import hashlib

import msgspec

from penstock.bus.callout_keys import Issuer, signed_by_server
from penstock.bus.permissions import Grants
from penstock.contracts.errors import Code, Failure

ALGORITHM = "ed25519-nkey"
QUESTION_MAX_BYTES = 64 * 1024
UNLIMITED = -1


class _Header(msgspec.Struct):
    typ: str
    alg: str


class _Server(msgspec.Struct):
    id: str


class _Client(msgspec.Struct, frozen=True):
    id: int = 0
    host: str = ""
    kind: str = ""


class _Opts(msgspec.Struct):
    auth_token: str = ""
    password: str = msgspec.field(default="", name="pass")


class _Nats(msgspec.Struct):
    server_id: _Server
    user_nkey: str
    connect_opts: _Opts
    client_info: _Client = _Client()


class _Question(msgspec.Struct):
    iss: str
    aud: str
    exp: int
    nats: _Nats


class Knock(msgspec.Struct, frozen=True):
    """A client that wants in. `credential` is what it gave as token or as password, and is as it came: anything at all.

    `host` is where it comes from, as the broker sees it. The rest tells the broker whom the answer is about; the
    question is void after `expires`.
    """

    credential: str
    host: str
    server: str
    user: str
    expires: float

    def __repr__(self) -> str:
        return f"Knock(host={self.host!r})"


class Pass(msgspec.Struct, frozen=True):
    """What a client that is let in may do, until `expires`. `name` stands in the broker's list of its connections.

    Without limits: a broker with a configuration file has no ear for those of a single user.
    """

    name: str
    grants: Grants
    expires: float


_headers = msgspec.json.Decoder(_Header)
_questions = msgspec.json.Decoder(_Question)


def read_question(token: bytes, now: float) -> Knock:
    """Raises Failure(INVALID) for what no server asked, or asked too long ago."""
    parts = token.split(b".")
    if len(parts) != 3 or len(token) > QUESTION_MAX_BYTES:
        raise _refused("it is no JWT")
    try:
        header, question = _headers.decode(_unpacked(parts[0])), _questions.decode(_unpacked(parts[1]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _refused("it cannot be read") from None
    if header.alg != ALGORITHM or question.aud != "nats-authorization-request":
        raise _refused("it is something else")
    asked = question.nats
    if question.iss != asked.server_id.id:
        raise _refused("no server asks it")
    if not signed_by_server(question.iss, parts[0] + b"." + parts[1], _unpacked(parts[2])):
        raise _refused("its signature is wrong")
    if question.exp <= now:
        raise _refused("it has expired")
    credential = asked.connect_opts.auth_token or asked.connect_opts.password
    return Knock(credential, asked.client_info.host, question.iss, asked.user_nkey, float(question.exp))


def let_in(issuer: Issuer, knock: Knock, allowed: Pass, account: str, now: float) -> bytes:
    """The answer that lets the client in as a user of `account`."""
    user: dict[str, object] = {
        "aud": account,
        "sub": knock.user,
        "name": allowed.name,
        "exp": int(allowed.expires),
        "nats": {
            "type": "user",
            "version": 2,
            "pub": {"allow": sorted(allowed.grants.publish)},
            "sub": {"allow": sorted(allowed.grants.subscribe)},
            "subs": UNLIMITED,
            "payload": UNLIMITED,
            "data": UNLIMITED,
            # a leaf node would carry subjects of its own into the account
            "allowed_connection_types": ["STANDARD", "WEBSOCKET"],
        },
    }
    return _answer(issuer, knock, {"jwt": _signed(issuer, user, now).decode()}, now)


def turn_away(issuer: Issuer, knock: Knock, why: str, now: float) -> bytes:
    """The answer that refuses. `why` reaches the broker's log, not the client."""
    return _answer(issuer, knock, {"error": why}, now)


def _answer(issuer: Issuer, knock: Knock, said: dict[str, object], now: float) -> bytes:
    nats = {"type": "authorization_response", "version": 2, **said}
    return _signed(issuer, {"aud": knock.server, "sub": knock.user, "nats": nats}, now)


def _signed(issuer: Issuer, claims: dict[str, object], now: float) -> bytes:
    whole = {**claims, "iss": issuer.public, "iat": int(now)}
    digest = hashlib.sha256(msgspec.json.encode(whole)).digest()
    whole["jti"] = base64.b32encode(digest).rstrip(b"=").decode()
    header = _packed(msgspec.json.encode(_Header("JWT", ALGORITHM)))
    text = header + b"." + _packed(msgspec.json.encode(whole))
    return text + b"." + _packed(issuer.sign(text))


def _packed(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def _unpacked(text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _refused("it is not base64url") from None


def _refused(why: str) -> Failure:
    return Failure(Code.INVALID, f"the question is refused: {why}")
