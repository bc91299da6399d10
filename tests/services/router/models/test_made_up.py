"""Without a models file the keys in the environment decide, or the local model."""

from datetime import UTC, datetime
from pathlib import Path

from services.router.models.catalogue import Catalogue
from services.router.models.file import build
from services.router.models.made_up import LocalModels, models_file
from services.router.models.price import FREE

AT = datetime(2026, 11, 24, tzinfo=UTC)
LOCAL = LocalModels("http://127.0.0.1:1/v1", "small-chat", "http://127.0.0.1:2/v1", "small-embed")


def made(env: dict[str, str], local: LocalModels = LOCAL) -> Catalogue:
    return build(models_file(env, local), env, Path(), AT)


def behind(catalogue: Catalogue, alias: str) -> list[tuple[str, str]]:
    return [(each.model, each.base_url) for each in catalogue.find(alias).deployments]


def test_without_any_key_the_local_models_answer() -> None:
    catalogue = made({})
    assert sorted(catalogue.aliases) == ["default", "embed", "small-chat", "small-embed"]
    assert behind(catalogue, "default") == [("small-chat", "http://127.0.0.1:1/v1")]
    assert behind(catalogue, "embed") == [("small-embed", "http://127.0.0.1:2/v1")]
    assert catalogue.find("default").deployments[0].rates == FREE
    assert (catalogue.default_chat, catalogue.default_embed) == ("default", "embed")


def test_with_a_key_its_provider_answers_instead_of_the_local_model() -> None:
    catalogue = made({"OPENAI_API_KEY": "sk-1"})
    assert behind(catalogue, "default") == [("gpt-6-luna", "https://api.openai.com/v1")]
    assert behind(catalogue, "embed") == [("text-embedding-3-small", "https://api.openai.com/v1")]
    assert "small-chat" not in catalogue.aliases
    assert catalogue.find("default").deployments[0].key.reveal() == "sk-1"


def test_with_all_keys_each_provider_stands_in_for_the_one_before() -> None:
    catalogue = made({"OPENAI_API_KEY": "1", "ANTHROPIC_API_KEY": "2", "GEMINI_API_KEY": "3"})
    assert behind(catalogue, "default") == [
        ("gpt-6-luna", "https://api.openai.com/v1"),
        ("claude-haiku-5-5", "https://api.anthropic.com"),
        ("gemini-3.8-flash", "https://generativelanguage.googleapis.com"),
    ]
    assert len(catalogue.find("embed").deployments) == 1


def test_every_model_that_is_offered_has_a_price() -> None:
    catalogue = made({"OPENAI_API_KEY": "1", "ANTHROPIC_API_KEY": "2", "GEMINI_API_KEY": "3"})
    assert [each.name for alias in catalogue.aliases.values() for each in alias.deployments if not each.rates] == []


def test_a_provider_without_embeddings_leaves_them_to_the_local_model() -> None:
    assert behind(made({"ANTHROPIC_API_KEY": "2"}), "embed") == [("small-embed", "http://127.0.0.1:2/v1")]


def test_with_nothing_at_all_there_is_no_model() -> None:
    catalogue = made({"OPENAI_API_KEY": " "}, LocalModels())
    assert (catalogue.aliases, catalogue.default_chat, catalogue.default_embed) == ({}, "", "")
