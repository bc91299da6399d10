"""The Dockerfile keeps to what every builder knows; compose.yaml holds each service, contained, secrets as files."""

import re
from pathlib import Path

import pytest
import yaml

from penstock.contracts.services import SERVICES
from penstock.kit.config import KitConfig, Secret, load, unknown_names
from penstock.kit.metrics import Metrics
from services.audit import config as audit
from services.context import config as context
from services.gateway import config as gateway
from services.orchestrator import config as orchestrator
from services.policy import config as policy
from services.router import config as router
from services.tool_executor import config as tool_executor

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
Service = dict[str, object]
CONFIGS: dict[str, type[KitConfig]] = {
    "audit": audit.Config,
    "context": context.Config,
    "gateway": gateway.Config,
    "orchestrator": orchestrator.Config,
    "policy": policy.Config,
    "router": router.Config,
    "tool_executor": tool_executor.Config,
}
CONTAINERS = {*SERVICES, "prepare", "setup", "setup-again", "nats", "store", "prometheus", "cli"}
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|SEED|API_KEY|STORE_URL", re.IGNORECASE)


@pytest.fixture(scope="module")
def compose() -> dict[str, Service]:
    content = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services: dict[str, Service] = content["services"]
    return services


@pytest.fixture(scope="module")
def instructions() -> list[str]:
    """The Dockerfile's instructions, each on one line."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    return [" ".join(each.split()) for each in "\n".join(lines).replace("\\\n", " ").splitlines() if each.strip()]


def variables(service: Service) -> dict[str, str]:
    found = service.get("environment", {})
    assert isinstance(found, dict)
    return found


def test_the_dockerfile_uses_nothing_that_only_some_builders_have(instructions: list[str]) -> None:
    first = DOCKERFILE.read_text().splitlines()[0]
    assert "syntax" not in first, "a syntax line makes the builder fetch a frontend from a registry"
    for each in instructions:
        assert "<<" not in each, f"a heredoc: {each}"
        assert "--link" not in each and "--mount" not in each, each
        assert "--start-interval" not in each, each


def test_the_image_runs_as_one_user_without_rights_and_stops_by_sigterm(instructions: list[str]) -> None:
    assert instructions[-1] == "FROM service"
    start = instructions.index("FROM ${BASE_IMAGE} AS service")
    stage = instructions[start : instructions.index("FROM service AS prepare")]
    assert "USER 10001:10001" in stage
    assert "STOPSIGNAL SIGTERM" in stage
    assert any(each.startswith("HEALTHCHECK") and "healthcheck.py" in each for each in stage)
    users = [each for each in instructions if each.startswith("USER")]
    assert users[-1] == "USER 10001:10001"


def test_an_image_gets_the_libraries_and_one_service_alone(instructions: list[str]) -> None:
    copied = [each.split()[1:-1] for each in instructions if each.startswith("COPY") and "--from" not in each]
    sources = {source for sources in copied for source in sources}
    assert sources == {
        "pyproject.toml",
        "constraints.txt",
        "LICENSE",
        "libs",
        "services/__init__.py",
        "services/${SERVICE}",
        "deploy/requirements.py",
        "deploy/healthcheck.py",
        "deploy/compose/prepare.py",
    }


def test_only_what_an_image_is_made_of_is_sent_to_the_builder() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule for rule in rules if rule.startswith("!")} == {
        "!LICENSE",
        "!constraints.txt",
        "!deploy/compose/prepare.py",
        "!deploy/healthcheck.py",
        "!deploy/requirements.py",
        "!libs",
        "!pyproject.toml",
        "!services",
    }


def test_there_is_a_container_for_every_service_and_each_is_built_from_its_own_folder(
    compose: dict[str, Service],
) -> None:
    assert set(compose) == CONTAINERS
    built = {}
    for name, service in compose.items():
        build = service.get("build")
        if isinstance(build, dict) and build["target"] == "service":
            built[name] = build["args"]["SERVICE"]
    assert built == {name: name for name in SERVICES}


def test_every_container_is_contained(compose: dict[str, Service]) -> None:
    for name, service in compose.items():
        assert service["user"] == "10001:10001", name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["mem_limit"], name
        assert "cap_add" not in service and "privileged" not in service, name
        if service["restart"] != "no":
            assert service["healthcheck"], name


def test_images_are_pinned_by_a_version_and_can_be_replaced_by_a_variable(compose: dict[str, Service]) -> None:
    for name, service in compose.items():
        image = str(service["image"])
        assert image.startswith("${PENSTOCK_"), f"{name}: {image}"
        assert not image.endswith(("latest", "latest}")), name
    assert compose["nats"]["image"] == "${PENSTOCK_NATS_IMAGE:-nats:2.15.1-alpine}"
    assert re.search(r"^ARG BASE_IMAGE=python:3\.\d+-slim-\w+$", DOCKERFILE.read_text(), re.MULTILINE)


def test_only_the_gateway_and_on_loopback_prometheus_are_published(compose: dict[str, Service]) -> None:
    published = {name: service["ports"] for name, service in compose.items() if "ports" in service}
    assert published == {
        "gateway": ["${PENSTOCK_HTTP:-127.0.0.1:8080}:8080"],
        "prometheus": ["127.0.0.1:${PENSTOCK_PROMETHEUS_PORT:-9090}:9090"],
    }


def test_only_whoever_must_is_on_a_network_that_leads_outside(compose: dict[str, Service]) -> None:
    content = yaml.safe_load((ROOT / "compose.yaml").read_text())
    assert content["networks"]["plane"] == {"internal": True}
    beyond = {}
    for name, service in compose.items():
        networks = service.get("networks", [])
        assert isinstance(networks, list)
        if set(networks) != {"plane"}:
            beyond[name] = sorted(set(networks) - {"plane"}) or service.get("network_mode")
    assert beyond == {
        "prepare": "none",
        "gateway": ["edge"],
        "router": ["outside"],
        "tool_executor": ["outside"],
        "prometheus": ["watch"],
    }


def test_no_secret_stands_in_the_environment(compose: dict[str, Service]) -> None:
    for name, service in compose.items():
        for variable in variables(service):
            assert variable.endswith("_FILE") or not SECRET_NAME.search(variable), f"{name}: {variable}"


@pytest.mark.parametrize("name", SERVICES)
def test_every_setting_of_a_service_in_compose_is_one_that_it_has(name: str, compose: dict[str, Service]) -> None:
    image = {"PENSTOCK_CONFIG_DIR": "/etc/penstock", "PENSTOCK_DATA_DIR": "/var/lib/penstock"}
    image |= {"PENSTOCK_HEALTH_HOST": "0.0.0.0", "PENSTOCK_HEALTH_PORT": "8081"}
    given = image | {key: str(value) for key, value in variables(compose[name]).items()}
    given["PENSTOCK_LOG_LEVEL"] = "info"
    assert unknown_names(CONFIGS[name], given) == []
    store = given.pop("PENSTOCK_STORE_URL_FILE", "")
    config = load(CONFIGS[name], given)
    assert config.nats_seed_file == "/var/lib/penstock/nkey.seed"
    assert bool(store) == isinstance(getattr(config, "store_url", None), Secret)


def test_a_service_has_longer_to_stop_than_it_takes_to_drain(compose: dict[str, Service]) -> None:
    for name in SERVICES:
        drain_s = CONFIGS[name]().drain_s
        grace = str(compose[name]["stop_grace_period"])
        assert grace.endswith("s") and float(grace[:-1]) > drain_s + 4.0, name


def test_each_container_sees_no_volume_but_its_own(compose: dict[str, Service]) -> None:
    mounted: dict[str, set[str]] = {}
    for name, service in compose.items():
        volumes = service.get("volumes", [])
        assert isinstance(volumes, list)
        for volume in volumes:
            source = volume["source"] if isinstance(volume, dict) else str(volume).split(":")[0]
            if not source.startswith((".", "$")):
                mounted.setdefault(source, set()).add(name)
    users = {volume: names - {"prepare"} for volume, names in mounted.items()}
    assert users.pop("api-keys") == {"policy", "cli"}
    assert users.pop("operator") == {"setup", "setup-again", "cli"}
    assert users == {name: {name} for name in {*SERVICES, "nats", "store", "prometheus"}}


def test_the_preparing_image_has_a_place_for_every_volume(compose: dict[str, Service]) -> None:
    volumes = compose["prepare"]["volumes"]
    assert isinstance(volumes, list)
    places = {str(volume).split(":")[1] for volume in volumes}
    found = re.search(r"for name in ([^;]+); do", DOCKERFILE.read_text().replace("\\\n", " "))
    assert found
    assert {f"/plane/{name}" for name in found[1].split()} == places


def test_prometheus_asks_every_service_and_its_alerts_name_metrics_that_exist() -> None:
    folder = ROOT / "deploy" / "prometheus"
    scrape = yaml.safe_load((folder / "prometheus.yml").read_text())["scrape_configs"]
    targets = {each["labels"]["service"]: each["targets"] for each in scrape[0]["static_configs"]}
    assert targets == {name: [f"{name}:8081"] for name in SERVICES}
    names = set(Metrics("any").registry._names_to_collectors)
    for group in yaml.safe_load((folder / "alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            for metric in re.findall(r"\bpenstock_\w+", rule["expr"]):
                assert metric in names, f"{rule['alert']} names {metric}"
            assert set(rule["annotations"]) == {"summary", "do"}
