"""The files that compose.yaml gives to the services are ones that they take."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from services.orchestrator.agents import read_agents
from services.policy.money.limits import parse_limits
from services.router.models.file import load
from services.tool_executor.toolsfile import parse

CONFIG = Path(__file__).parents[2] / "deploy" / "compose" / "config"
TODAY = datetime(2026, 11, 24, tzinfo=UTC)


def test_the_scripted_models_are_what_is_used_without_a_provider() -> None:
    catalogue = load(CONFIG / "router" / "models.yaml", {}, TODAY)
    assert catalogue.default_chat == "default"
    assert catalogue.default_embed == "embed"


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
def test_a_providers_key_is_read_from_the_secrets_file(provider: str, tmp_path: Path) -> None:
    text = (CONFIG / "router" / f"{provider}.yaml").read_text()
    assert "file:/run/secrets/provider_key" in text and "env:" not in text
    (tmp_path / "provider_key").write_text("the-key\n")
    file = tmp_path / "models.yaml"
    file.write_text(text.replace("/run/secrets/provider_key", "provider_key"))
    catalogue = load(file, {}, TODAY)
    deployment = catalogue.aliases["default"].deployments[0]
    assert deployment.key.reveal() == "the-key"
    assert deployment.rates is not None, "policy refuses what it knows no price of"


def test_every_tool_of_the_agents_is_in_the_tools_file() -> None:
    tools = {tool.name for tool in parse((CONFIG / "tool_executor" / "tools.yaml").read_text())}
    for agent in read_agents((CONFIG / "orchestrator" / "agents.yaml").read_bytes()):
        assert set(agent.tools) - {"search_documents"} <= tools


def test_the_accounts_are_limited() -> None:
    limits = parse_limits((CONFIG / "policy" / "accounts.yaml").read_text())
    assert limits.of("default", "tenant:default")[0].usd == 50


def test_every_file_that_compose_mounts_is_there() -> None:
    root = CONFIG.parents[2]
    services = yaml.safe_load((root / "compose.yaml").read_text())["services"]
    for name, service in services.items():
        for volume in service.get("volumes", []):
            if isinstance(volume, str) and volume.startswith((".", "$")):
                place = volume.replace("${PENSTOCK_CONFIG:-", "").replace("}", "").split(":")[0]
                assert (root / place).is_dir(), f"{name}: {place}"
