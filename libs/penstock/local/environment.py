"""The one place that says which settings each process of a local plane gets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from penstock.contracts.services import AUDIT, ROUTER
from penstock.local.layout import Layout
from penstock.local.model_server import CHAT_MODEL, EMBEDDING_MODEL

PREFIX = "PENSTOCK_"
PROVIDER_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY")


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts listen. `store_url` holds the password; `model_urls` are chat and embeddings, "" for none."""

    broker_url: str
    store_url_file: Path
    http_port: int
    health_ports: Mapping[str, int]
    model_urls: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Environment:
    """`inherited` is the environment of whoever started the plane. Provider keys reach the router alone."""

    layout: Layout
    addresses: Addresses
    inherited: Mapping[str, str]
    log_level: str = "info"
    drain_s: float = 10.0
    more: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def of(self, service: str) -> dict[str, str]:
        """Everything that the process of this service gets."""
        hidden = () if service == ROUTER else PROVIDER_KEYS
        kept = {
            name: value for name, value in self.inherited.items() if not name.startswith(PREFIX) and name not in hidden
        }
        own = self._settings(service) | dict(self.more.get(service, {}))
        return kept | {PREFIX + name.upper(): str(value) for name, value in own.items()}

    def _settings(self, service: str) -> dict[str, object]:
        everyone: dict[str, object] = {
            "nats_url": self.addresses.broker_url,
            "nats_seed_file": seed_file(self.layout, service),
            "health_port": self.addresses.health_ports[service],
            "log_level": self.log_level,
            "drain_s": self.drain_s,
            "config_dir": self.layout.config,
            "data_dir": self._data(service),
        }
        return everyone | dict(self._own(service))

    def _data(self, service: str) -> Path:
        return self.layout.audit if service == AUDIT else self.layout.folder(service)

    def _own(self, service: str) -> Mapping[str, object]:
        config = self.layout.config
        store: dict[str, object] = {"store_url_file": self.addresses.store_url_file}
        match service:
            case "gateway":
                return {"http_port": self.addresses.http_port}
            case "router":
                return store | self._models()
            case "tool_executor" | "context":
                return store
            case "orchestrator":
                return {"agents_file": config / "agents.yaml"}
            case "policy":
                return store | {
                    "bundle_dir": self.layout.policies,
                    "operator_tenants": '["default", "operator"]',
                    "callout_dir": callout_folder(self.layout),
                }
            case _:
                return {}

    def _models(self) -> dict[str, object]:
        chat, embeddings = self.addresses.model_urls
        file = self.layout.config / "models.yaml"
        return {
            "models_file": file if file.exists() else "",
            "local_chat_url": chat,
            "local_chat_model": CHAT_MODEL,
            "local_embed_url": embeddings,
            "local_embed_model": EMBEDDING_MODEL,
        }


def seed_file(layout: Layout, principal: str) -> Path:
    """The nkey seed of a service, of `setup`, or of `tenant-<tenant>` where the broker knows that tenant itself."""
    return layout.keys / f"{principal}.seed"


def callout_folder(layout: Layout) -> Path:
    """The seeds by which policy answers the broker's auth callout."""
    return layout.keys / "callout"


def wants_local_models(environment: Mapping[str, str]) -> bool:
    """Whether nothing hosted can make vectors, and perhaps nothing chat: Anthropic offers no embeddings."""
    return not any(environment.get(name, "").strip() for name in ("OPENAI_API_KEY", "GEMINI_API_KEY"))


def has_provider_key(environment: Mapping[str, str]) -> bool:
    """Whether a hosted model can be asked."""
    return any(environment.get(name, "").strip() for name in PROVIDER_KEYS)
