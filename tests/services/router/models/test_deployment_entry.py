"""What a deployment is when the models file says little, and what it may say."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from services.router.models.bad_file import BadModelsFile
from services.router.models.deployment import Abilities, Deployment, OnDisconnect
from services.router.models.deployment_entry import DeploymentEntry
from services.router.providers.address import passed_on

AT = datetime(2026, 11, 24, tzinfo=UTC)
ENV = {"A": "sk-a", "B": "sk-b", "C": "sk-a"}


def made(**fields: object) -> Deployment:
    entry = msgspec.convert({"model": "m"} | fields, DeploymentEntry)
    return entry.made("d", ENV, Path(), AT)


def refusal(**fields: object) -> str:
    with pytest.raises(BadModelsFile) as caught:
        made(**fields)
    return str(caught.value)


@pytest.mark.parametrize(
    ("provider", "base_url", "protocols", "endpoint"),
    [
        ("openai", "https://api.openai.com/v1", ("openai.chat", "openai.responses"), "openai:api.openai.com"),
        ("anthropic", "https://api.anthropic.com", ("anthropic.messages",), "anthropic:api.anthropic.com"),
        (
            "gemini",
            "https://generativelanguage.googleapis.com",
            ("gemini.generate",),
            "gemini:generativelanguage.googleapis.com",
        ),
    ],
)
def test_a_provider_brings_its_address_its_protocols_and_its_endpoint(
    provider: str, base_url: str, protocols: tuple[str, ...], endpoint: str
) -> None:
    deployment = made(provider=provider)
    assert (deployment.base_url, deployment.protocols, deployment.endpoint) == (base_url, protocols, endpoint)


def test_a_compatible_provider_speaks_chat_and_more_where_the_file_says_so() -> None:
    plain = made(provider="openai_compatible", base_url="http://127.0.0.1:8000/v1")
    assert (plain.protocols, plain.endpoint) == (("openai.chat",), "openai_compatible:127.0.0.1:8000")
    both = made(
        provider="openai_compatible",
        base_url="http://127.0.0.1:8000/v1",
        protocols=["openai.chat", "openai.responses"],
    )
    assert both.protocols == ("openai.chat", "openai.responses")


def test_a_file_from_before_providers_means_openai_s_own_address_or_a_compatible_server_that_can_do_all() -> None:
    assert (made().provider, made(base_url="https://api.openai.com/v1").provider) == ("openai", "openai")
    other = made(base_url="https://api.groq.com/openai/v1", tools=False)
    assert (other.provider, other.protocols) == ("openai_compatible", ("openai.chat",))
    assert other.abilities == Abilities(tools=False)


def test_azure_needs_its_address_and_speaks_as_openai_does() -> None:
    azure = made(provider="azure", base_url="https://one.openai.azure.com/openai/v1")
    assert azure.protocols == ("openai.chat", "openai.responses")
    assert azure.endpoint == "azure:one.openai.azure.com"
    assert "base_url must be" in refusal(provider="azure")


def test_an_account_or_an_endpoint_of_its_own_says_whose_signatures_it_honours() -> None:
    assert made(account="team-a").endpoint == "openai:api.openai.com/team-a"
    assert made(endpoint="ours").endpoint == "ours"


def test_abilities_are_the_provider_s_unless_the_file_says_otherwise() -> None:
    assert made().abilities == Abilities()
    local = made(provider="openai_compatible", base_url="http://127.0.0.1:1/v1", tools=False, documents=True)
    assert local.abilities == Abilities(tools=False, documents=True, audio=False)
    assert not local.tools
    assert not made(provider="anthropic").abilities.audio


def test_several_keys_are_several_and_one_key_named_twice_is_one() -> None:
    deployment = made(keys=["env:A", "env:B", "env:C"])
    assert [key.reveal() for key in deployment.keys] == ["sk-a", "sk-b"]
    assert deployment.key.reveal() == "sk-a"
    assert deployment.with_key(1).key.reveal() == "sk-b"
    assert deployment.with_key(1).id == deployment.id
    assert deployment.with_key(0) is deployment


def test_a_key_that_changes_makes_another_deployment() -> None:
    assert made(keys=["env:A"]).id != made(keys=["env:B"]).id
    assert made(keys=["env:A", "env:B"]).id != made(keys=["env:A"]).id


def test_leaving_readers_hang_up_or_drain_within_caps() -> None:
    assert made().on_disconnect == OnDisconnect("cancel", 60.0, 16)
    assert made(on_disconnect="drain").on_disconnect == OnDisconnect("drain", 60.0, 16)
    assert made(on_disconnect="spool").on_disconnect == OnDisconnect("spool", 60.0, 16)
    drain = {"do": "drain", "drain_s": 5, "drains_max": 2}
    assert made(on_disconnect=drain).on_disconnect == OnDisconnect("drain", 5.0, 2)


def test_the_caller_s_headers_that_it_gets_may_be_narrowed() -> None:
    assert made().headers is None
    assert made(headers=[]).headers == ()
    assert made(headers=["Anthropic-Version"]).headers == ("anthropic-version",)
    sent = {"anthropic-version": "2023-06-01", "anthropic-beta": "files", "openai-beta": "x"}
    assert passed_on("anthropic.messages", sent, made().headers) == {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "files",
    }
    assert passed_on("anthropic.messages", sent, ("anthropic-version",)) == {"anthropic-version": "2023-06-01"}
    assert passed_on("openai.chat", sent, ()) == {}


def test_the_version_of_the_file_is_told_where_the_caller_names_none() -> None:
    assert made(provider="anthropic").version == ""
    version = made(provider="anthropic", version="2026-10-21").version
    sent = {"anthropic-version": "2023-06-01"}
    assert passed_on("anthropic.messages", {}, None, version) == {"anthropic-version": "2026-10-21"}
    assert passed_on("anthropic.messages", sent, None, version) == {"anthropic-version": "2023-06-01"}
    assert passed_on("anthropic.messages", sent, (), version) == {"anthropic-version": "2026-10-21"}
    assert passed_on("anthropic.messages", {}) == {"anthropic-version": "2023-06-01"}
    assert passed_on("openai.chat", {}, None, version) == {}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"key": "env:A", "keys": ["env:B"]}, "key and keys are both set"),
        ({"keys": [""]}, "keys must be 1 to 64 references"),
        ({"keys": ["env:NONE"]}, "the environment variable NONE is not set"),
        ({"protocols": ["openai.telepathy"]}, "protocols: 'openai.telepathy' is none of openai.chat"),
        ({"headers": ["Authorization"]}, "headers: 'Authorization' is none of anthropic-beta, anthropic-version"),
        ({"version": "2023-06-01"}, "version is of Anthropic's API"),
        ({"provider": "anthropic", "version": "latest"}, "version must be a date such as"),
        ({"weight": 0}, "weight must be above 0"),
        ({"rpm": -1}, "rpm and tpm must be at least 0"),
        ({"on_disconnect": {"do": "drain", "drain_s": 0}}, "drain_s must be above 0 seconds"),
    ],
)
def test_what_cannot_be_is_refused_with_a_sentence(fields: dict[str, object], sentence: str) -> None:
    said = refusal(**fields)
    assert sentence in said
    assert said.startswith("deployment d: ")
