"""What the containers find in their volumes, tried on a real broker and a real store."""

import subprocess
import sys
from pathlib import Path

import pytest
import redis

from deploy.compose.prepare import prepare, store_config
from penstock.bus import Bus, BusConfig
from penstock.bus.permissions import SETUP
from penstock.client.profile import read_profile
from penstock.contracts.errors import Failure
from penstock.contracts.services import SERVICES
from penstock.local.child import Child, Command
from penstock.local.ports import HOST, choose_ports
from penstock.local.store import valkey_server
from services.policy.identity.key_file import read_keys
from tests.support.nats_server import nats_server

SCRIPT = Path(__file__).parents[2] / "deploy" / "compose" / "prepare.py"
FOLDERS = (*SERVICES, "nats", "store", "prometheus", "operator", "api-keys")


@pytest.fixture
def plane(tmp_path: Path) -> Path:
    """A folder for each container, as their volumes are: they belong to the one user and are empty."""
    for name in FOLDERS:
        (tmp_path / name).mkdir(mode=0o700)
    prepare(tmp_path, ("default",))
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_each_service_gets_its_own_seed_and_only_who_uses_the_store_its_address(plane: Path) -> None:
    found = {name: set(files(plane / name)) for name in SERVICES}
    with_store = {"nkey.seed", "store-url"}
    assert found == {
        "gateway": {"nkey.seed"},
        "router": with_store,
        "tool_executor": with_store,
        "context": with_store,
        "orchestrator": {"nkey.seed"},
        "policy": with_store | {"callout/user.seed", "callout/issuer.seed", "callout/curve.seed"},
        "audit": {"nkey.seed"},
    }
    seeds = {(plane / name / "nkey.seed").read_bytes() for name in SERVICES}
    assert len(seeds) == 7


def test_whatever_is_made_is_for_its_owner_alone(plane: Path) -> None:
    for path in plane.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_no_seed_and_no_password_stands_in_what_the_servers_read(plane: Path) -> None:
    read = (plane / "nats" / "broker.conf").read_text() + (plane / "store" / "store.conf").read_text()
    for name in SERVICES:
        assert (plane / name / "nkey.seed").read_text() not in read
    for name in ("policy", "router", "context", "tool_executor"):
        password = (plane / name / "store-url").read_text().split(":")[2].split("@")[0]
        assert len(password) >= 40
        assert password not in read


def test_a_second_time_changes_nothing(plane: Path) -> None:
    before = files(plane)
    assert prepare(plane, ("default",)) == ["identities of 7 services"]
    assert files(plane) == before


def test_a_second_tenant_may_come_later_and_gets_its_own_identity_and_key(plane: Path) -> None:
    did = prepare(plane, ("default", "acme"))
    assert did == ["identities of 7 services", "an API key of acme"]
    keys = read_keys(plane / "api-keys" / "keys.json").keys
    assert [(key.tenant, key.subject) for key in keys] == [("default", "user:operator"), ("acme", "user:operator")]
    assert (plane / "operator" / "keys" / "api-key-acme").exists()
    assert "penstock.v1.acme.jobs.*" not in (plane / "nats" / "broker.conf").read_text()


def test_only_a_tenant_that_is_named_so_gets_in_by_a_seed_without_policy(plane: Path) -> None:
    assert prepare(plane, ("default",), ("acme",)) == ["identities of 7 services", "an nkey seed of acme"]
    assert (plane / "operator" / "keys" / "tenant-acme.seed").exists()
    assert "penstock.v1.acme.jobs.*" in (plane / "nats" / "broker.conf").read_text()
    prepare(plane, ("default",))
    assert "penstock.v1.acme.jobs.*" not in (plane / "nats" / "broker.conf").read_text()


def test_the_operators_profile_names_files_as_they_are_in_the_container(plane: Path) -> None:
    profile = read_profile(plane / "operator" / "profile.json")
    assert profile.url == "nats://nats:4222"
    assert profile.api_key_file == "/var/lib/penstock/keys/api-key-default"
    assert profile.seed_file == ""  # it connects by its API key
    assert (plane / "operator" / "keys" / "api-key-default").exists()


async def test_the_broker_takes_its_configuration_and_each_identity_and_no_other(plane: Path) -> None:
    # the port of the health check is for its own container; here it may be somebody else's
    config = (plane / "nats" / "broker.conf").read_text().replace('http: "127.0.0.1:8222"\n', "")
    seeds = {name: plane / name / "nkey.seed" for name in SERVICES}
    seeds[SETUP] = plane / "operator" / "keys" / "setup.seed"
    async with nats_server(config) as server:
        for principal, seed in seeds.items():
            bus = await Bus.connect(BusConfig(url=server.url, principal=principal, seed_file=str(seed)))
            await bus.close()
        with pytest.raises(Failure):
            await Bus.connect(BusConfig(url=server.url, principal="router", connect_timeout_s=0.5))


async def test_a_static_tenant_gets_in_by_its_seed_while_no_policy_runs(plane: Path) -> None:
    prepare(plane, ("default",), ("acme",))
    config = (plane / "nats" / "broker.conf").read_text().replace('http: "127.0.0.1:8222"\n', "")
    seed = plane / "operator" / "keys" / "tenant-acme.seed"
    async with nats_server(config) as server:
        bus = await Bus.connect(BusConfig(url=server.url, tenant="acme", seed_file=str(seed)))
        await bus.close()


async def test_each_service_reaches_its_own_keys_in_the_store_and_no_other(tmp_path: Path) -> None:
    passwords = {"policy": "for-policy", "context": "for-context", "tool_executor": "for-tools"}
    port = choose_ports(tmp_path / "ports.json", {"store": 0}, {})["store"]
    config = tmp_path / "store.conf"
    text = store_config(passwords, folder=str(tmp_path)).replace("port 6379", f"port {port}")
    config.write_text(text.replace("bind 0.0.0.0", f"bind {HOST}"))
    child = Child(Command("store", (str(valkey_server()), str(config)), tmp_path / "store.log"))
    child.start()

    async def ready() -> bool:
        return "Ready to accept" in child.output()

    try:
        await child.until_ready(ready, 20.0)
        may = {
            "policy": ["penstock:{default}:pot:x", "penstock:tenants"],
            "context": ["penstock:context:default:manual:heads", "penstock:session:default:s1:turns"],
            "tool_executor": ["penstock:tool:call:default:x", "penstock:tool:epoch:default:run"],
        }
        for user, password in passwords.items():
            with redis.Redis(host=HOST, port=port, username=user, password=password) as store:
                for owner, keys in may.items():
                    for key in keys:
                        if owner == user:
                            assert store.set(key, "1"), key
                        else:
                            with pytest.raises(redis.exceptions.NoPermissionError):
                                store.set(key, "1")
                with pytest.raises(redis.exceptions.NoPermissionError):
                    store.flushall()
        with redis.Redis(host=HOST, port=port) as nobody:
            assert nobody.ping()
            with pytest.raises(redis.exceptions.NoPermissionError):
                nobody.get("penstock:tenants")
    finally:
        await child.kill()


def test_a_tenants_name_that_is_no_token_is_refused(tmp_path: Path) -> None:
    for name in FOLDERS:
        (tmp_path / name).mkdir(mode=0o700)
    with pytest.raises(ValueError):
        prepare(tmp_path, ("not a token",))


def test_it_says_what_it_did_and_never_a_key(plane: Path) -> None:
    again = subprocess.run(
        [sys.executable, str(SCRIPT), "--plane", str(plane), "--tenant", "default", "--tenant", "acme"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert again.stdout.splitlines() == ["identities of 7 services", "an API key of acme"]
    assert "psk_" not in again.stdout + again.stderr
