"""Settings of the processes: each its own, secrets only where they are needed."""

import os
from pathlib import Path

from penstock.contracts.services import SERVICES
from penstock.kit.config import KitConfig, load, unknown_names
from penstock.local.environment import Addresses, Environment, has_provider_key
from penstock.local.layout import Layout
from services.audit.config import Config as AuditConfig
from services.context.config import Config as ContextConfig
from services.gateway.config import Config as GatewayConfig
from services.orchestrator.config import Config as OrchestratorConfig
from services.policy.config import Config as PolicyConfig
from services.router.config import Config as RouterConfig
from services.tool_executor.config import Config as ToolsConfig

CONFIGS: dict[str, type[KitConfig]] = {
    "audit": AuditConfig,
    "context": ContextConfig,
    "gateway": GatewayConfig,
    "orchestrator": OrchestratorConfig,
    "policy": PolicyConfig,
    "router": RouterConfig,
    "tool_executor": ToolsConfig,
}


def test_every_service_understands_all_that_it_is_told(tmp_path: Path) -> None:
    environment = _environment(tmp_path, {"PATH": "/bin"})
    assert set(CONFIGS) == set(SERVICES)
    for service, config_type in CONFIGS.items():
        told = environment.of(service)
        assert unknown_names(config_type, told) == []
        config = load(config_type, told)
        assert config.nats_seed_file == str(tmp_path / "keys" / f"{service}.seed")
        assert config.health_port == 1000 + SERVICES.index(service)


def test_a_provider_key_reaches_the_router_alone(tmp_path: Path) -> None:
    environment = _environment(tmp_path, {"OPENAI_API_KEY": "sk-1", "HOME": "/home/me"})
    holders = [service for service in SERVICES if "OPENAI_API_KEY" in environment.of(service)]
    assert holders == ["router"]
    assert {environment.of(service)["HOME"] for service in SERVICES} == {"/home/me"}


def test_the_stores_password_stands_in_no_environment(tmp_path: Path) -> None:
    environment = _environment(tmp_path, {})
    (tmp_path / "store-url").write_text("redis://:hush@127.0.0.1:1/0", encoding="utf-8")
    assert "hush" not in str([environment.of(service) for service in SERVICES])
    assert load(PolicyConfig, environment.of("policy")).store_url.reveal() == "redis://:hush@127.0.0.1:1/0"
    assert load(RouterConfig, environment.of("router")).store_url.reveal() == "redis://:hush@127.0.0.1:1/0"


def test_settings_meant_for_the_command_do_not_reach_the_services(tmp_path: Path) -> None:
    told = _environment(tmp_path, {"PENSTOCK_DATA": "/x", "PENSTOCK_API_KEY": "psk_1_2"}).of("gateway")
    assert "PENSTOCK_DATA" not in told
    assert "PENSTOCK_API_KEY" not in told


def test_a_models_file_is_used_where_there_is_one(tmp_path: Path) -> None:
    environment = _environment(tmp_path, {})
    assert load(RouterConfig, environment.of("router")).models_file == ""
    (tmp_path / "config" / "models.yaml").write_text("", encoding="utf-8")
    assert load(RouterConfig, environment.of("router")).models_file == str(tmp_path / "config" / "models.yaml")


def test_an_empty_provider_key_is_none() -> None:
    assert not has_provider_key({"OPENAI_API_KEY": " "})
    assert has_provider_key({"GEMINI_API_KEY": "k"})


def _environment(root: Path, inherited: dict[str, str]) -> Environment:
    url_file = root / "store-url"
    url_file.write_text("redis://127.0.0.1:1/0", encoding="utf-8")
    ports = {service: 1000 + place for place, service in enumerate(SERVICES)}
    os.chmod(root, 0o700)
    return Environment(Layout(root), Addresses("nats://127.0.0.1:1", url_file, 2, ports), inherited)
