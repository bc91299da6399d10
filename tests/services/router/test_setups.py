"""The five set-ups of docs/how-to/choose-among-models.md choose as the page says."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.router.choosing.choose import Choice, choose, nobody
from services.router.choosing.request import Need
from services.router.choosing.standing import Standing
from services.router.models.catalogue import Alias
from services.router.models.file import load

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "choose-among-models.md"
SECTION = re.compile(r"^## (.+?)\n.*?^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KEYS = ("OPENAI_API_KEY", "OPENAI_API_KEY_2", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "AZURE_OPENAI_API_KEY")


@pytest.fixture
def setups(tmp_path: Path) -> dict[str, Alias]:
    found = {}
    for title, text in SECTION.findall(PAGE.read_text(encoding="utf-8")):
        (tmp_path / "models.yaml").write_text(text, encoding="utf-8")
        catalogue = load(
            tmp_path / "models.yaml", {key: f"sk-{key}" for key in KEYS}, datetime(2026, 11, 24, tzinfo=UTC)
        )
        found[title.split(":")[0].split(",")[0]] = catalogue.find("default")
    return found


def names(choice: Choice) -> list[str]:
    return [each.deployment.name for each in choice.candidates]


def test_there_are_five(setups: dict[str, Alias]) -> None:
    assert list(setups) == [
        "One local model",
        "OpenAI",
        "Save cost",
        "A pool of vLLM servers",
        "Azure and OpenAI by what is left of their quotas",
    ]


def test_the_local_model_refuses_tools_before_anybody_is_asked(setups: dict[str, Alias]) -> None:
    alias = setups["One local model"]
    assert names(choose(alias, Need("chat"), {}, 0.0)) == ["local"]
    choice = choose(alias, Need("chat", tools=True), {}, 0.0)
    assert nobody("default", choice).detail == "no deployment of default can do this (local: takes no tools)"


def test_openai_goes_before_anthropic_and_both_before_the_small_one(setups: dict[str, Alias]) -> None:
    alias = setups["OpenAI"]
    assert names(choose(alias, Need("chat"), {}, 0.0)) == ["openai", "anthropic"]
    assert [each.name for each in alias.path()] == ["default", "small"]
    first, second = alias.deployments
    assert (first.protocols, second.protocols) == (("openai.chat", "openai.responses"), ("anthropic.messages",))
    assert (len(first.keys), second.on_disconnect.do, alias.hedge_after_s) == (2, "drain", 8.0)


@pytest.mark.parametrize(
    ("need", "order"),
    [
        (Need("chat", tokens=2000, output_tokens=500), ["small", "medium", "large"]),
        (Need("chat", labels={"effort": "high"}), ["large", "small", "medium"]),
        (Need("chat", tools=True, tokens=70_000), ["large", "small", "medium"]),
        (Need("chat", labels={"effort": "high"}, budget_left_usd=0.2), ["small"]),
    ],
    ids=["usual", "effort", "long tool loops", "poor"],
)
def test_the_cheapest_that_will_do_is_asked(setups: dict[str, Alias], need: Need, order: list[str]) -> None:
    assert names(choose(setups["Save cost"], need, {}, 0.0)) == order


def test_a_conversation_stays_in_the_pool_and_new_ones_go_where_least_is_under_way(setups: dict[str, Alias]) -> None:
    alias = setups["A pool of vLLM servers"]
    busy = {each.id: Standing(in_flight=count) for each, count in zip(alias.deployments, (5, 2, 6), strict=True)}
    assert names(choose(alias, Need("chat"), busy, 0.0)) == ["gpu-b", "gpu-c", "gpu-a"]
    stays = {names(choose(alias, Need("chat", session="s1"), {}, 0.0, str(draw)))[0] for draw in range(20)}
    assert len(stays) == 1


def test_quotas_decide_between_azure_and_openai_and_residency_binds(setups: dict[str, Alias]) -> None:
    alias = setups["Azure and OpenAI by what is left of their quotas"]
    without = Alias("default", alias.deployments, alias.strategy, alias.rules)
    azure, _ = alias.deployments
    need = Need("chat", tokens=100_000)
    assert names(choose(without, need, {}, 0.0)) == ["openai", "azure-eu"]
    assert names(choose(without, Need("chat", labels={"region": "eu"}), {}, 0.0)) == ["azure-eu"]
    firsts = [names(choose(alias, need, {}, 0.0, str(draw)))[0] for draw in range(2000)]
    assert 60 < firsts.count("newer") < 140
    assert azure.endpoint == "azure:contoso-eu.openai.azure.com"
