"""Makes what each container of compose.yaml finds in its volume before it starts: identities, servers' settings, a key.

Safe to repeat: seeds, passwords and keys that are there stay; what is worked out from the code is written anew.
"""

import argparse
import hashlib
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from penstock.bus.callout_keys import make_callout_keys
from penstock.bus.nkey import load_or_make
from penstock.bus.permissions import principals
from penstock.bus.server_config import BusUser, render
from penstock.client.profile import FILE_NAME, Profile
from penstock.contracts.services import CONTEXT, POLICY, ROUTER, SERVICES, TOOLS
from penstock.local.environment import seed_file
from penstock.local.layout import Layout, write_private
from services.policy.identity.key_file import create_key
from services.policy.identity.keys import ApiKey

BROKER_URL = "nats://nats:4222"
STORE = "store:6379"
EDGE_URL = "http://gateway:8080"
OPERATOR_HOME = Path("/var/lib/penstock")
"""Where the operator's volume is when the `penstock` command runs in a container."""
STORE_KEYS = {
    POLICY: "~penstock:{* ~penstock:tenants",
    CONTEXT: "~penstock:context:* ~penstock:session:*",
    ROUTER: "~penstock:router:* ~penstock:{*}:cache:*",
    TOOLS: "~penstock:tool:* ~",  # a call outside a run passes an empty key
}
"""What each service may touch in the store: money is out of reach for whoever runs tools."""
STORE_MAX_MB = 384


def prepare(plane: Path, tenants: tuple[str, ...], static: tuple[str, ...] = ()) -> list[str]:
    """Fills the folders below `plane`, one for each container; says what it did. Raises KeyRefused for a bad tenant.

    `static`: tenants whose NATS clients may also come by an nkey seed, which the broker knows without asking policy.
    """
    operator = Layout(plane / "operator")
    _broker(plane, operator, static)
    _store(plane)
    did = [f"identities of {len(SERVICES)} services"]
    did += [f"an nkey seed of {tenant}" for tenant in static]
    for tenant in tenants:
        if _api_key(plane, operator, tenant):
            did.append(f"an API key of {tenant}")
    _profile(operator, tenants[0])
    return did


def seed_of(plane: Path, operator: Layout, principal: str) -> Path:
    """A service's seed lies in its own folder, where nobody else looks; the others are the operator's."""
    return plane / principal / "nkey.seed" if principal in SERVICES else seed_file(operator, principal)


def _broker(plane: Path, operator: Layout, static: tuple[str, ...]) -> None:
    users = [
        BusUser(name, load_or_make(seed_of(plane, operator, name)), rights)
        for name, rights in principals(static).items()
    ]
    # what the server says of itself is for the health check in its own container
    config = render(users, callout=make_callout_keys(plane / POLICY / "callout")) + 'http: "127.0.0.1:8222"\n'
    write_private(plane / "nats" / "broker.conf", config.encode())


def _store(plane: Path) -> None:
    passwords = {service: _store_password(plane / service / "store-url", service) for service in STORE_KEYS}
    write_private(plane / "store" / "store.conf", store_config(passwords).encode())


def _store_password(url_file: Path, service: str) -> str:
    """The one that is in the service's address of the store, which is made when it is not there."""
    if not url_file.exists():
        url = f"redis://{service}:{secrets.token_urlsafe(32)}@{STORE}/0"
        write_private(url_file, url.encode())
    return urlsplit(url_file.read_text(encoding="utf-8")).password or ""


def store_config(passwords: Mapping[str, str], folder: str = "/data") -> str:
    """For Valkey and Redis alike. Whoever has no password may ask whether it is alive, and nothing else."""
    lines = [
        "bind 0.0.0.0",
        "protected-mode no",
        "port 6379",
        f'dir "{folder}"',
        'save ""',
        "appendonly yes",
        "appendfsync everysec",
        f"maxmemory {STORE_MAX_MB}mb",
        "maxmemory-policy noeviction",  # balances live here: better to refuse than to forget
        "user default on nopass resetkeys resetchannels -@all +ping",
    ]
    for service, password in passwords.items():
        digest = hashlib.sha256(password.encode()).hexdigest()
        lines.append(f"user {service} on #{digest} {STORE_KEYS[service]} resetchannels +@all -@admin -@dangerous")
    return "\n".join(lines) + "\n"


def _api_key(plane: Path, operator: Layout, tenant: str) -> bool:
    """True when it was made now. Whoever has the operator's volume acts as this user."""
    path = api_key_file(operator, tenant)
    if path.exists():
        return False
    wanted = ApiKey(id="", digest="", tenant=tenant, subject="user:operator", name=f"operator of {tenant}")
    _, key = create_key(plane / "api-keys" / "keys.json", wanted, time.time())
    write_private(path, key.encode())
    return True


def api_key_file(operator: Layout, tenant: str) -> Path:
    """The operator's own API key for a tenant."""
    return operator.keys / f"api-key-{tenant}"


def _profile(operator: Layout, tenant: str) -> None:
    key = api_key_file(operator, tenant)
    profile = Profile(
        url=BROKER_URL,
        tenant=tenant,
        api_key_file=str(OPERATOR_HOME / key.relative_to(operator.root)),
        http_url=EDGE_URL,
    )
    write_private(operator.root / FILE_NAME, msgspec.json.format(msgspec.json.encode(profile), indent=2) + b"\n")


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plane", type=Path, default=Path("/plane"), help="a folder with a volume for each container")
    parser.add_argument("--tenant", action="append", help="who may use the plane (default: default)")
    static = "a tenant whose NATS clients may come by an nkey seed, also while policy is away"
    parser.add_argument("--static-tenant", action="append", default=[], help=static)
    arguments = parser.parse_args()
    for sentence in prepare(arguments.plane, tuple(arguments.tenant or ("default",)), tuple(arguments.static_tenant)):
        print(sentence)  # noqa: T201  # this is what the step is asked for: what it did


if __name__ == "__main__":
    main()
