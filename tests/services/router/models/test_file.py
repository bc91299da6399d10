"""A models file is taken whole, or refused with a sentence that says what to write."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from penstock.contracts.errors import Code, Failure
from penstock.contracts.llm import ModelInfo
from services.router.models.catalogue import Catalogue
from services.router.models.deployment import Timeouts
from services.router.models.file import BadModelsFile, load
from services.router.models.price import FREE, Rates
from services.router.models.price_table import TABLE_VERSION

AT = datetime(2026, 11, 24, tzinfo=UTC)
ENV = {"OPENAI_API_KEY": "sk-open"}

GOOD = """
default: {chat: fast, embed: vectors}
aliases:
  fast: [mini, local]
  vectors: [small]
deployments:
  mini:
    base_url: https://api.openai.com/v1
    model: gpt-5-mini
    key: env:OPENAI_API_KEY
    context_tokens: 400000
    timeouts: {headers_s: 10, first_content_s: 20, idle_s: 5, total_s: 300}
    concurrency_max: 8
  local:
    base_url: http://127.0.0.1:8080/v1
    model: own
    tools: false
    price: free
    output_tokens_max: 512
    output_tokens_field: max_tokens
  small:
    base_url: https://api.openai.com/v1
    model: text-embedding-3-small
    key: file:key
    kinds: [embeddings]
    tools: false
    price: {input_usd_per_mtok: 0.0375, cache_read_usd_per_mtok: 0.01}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "key").write_text("sk-file\n", encoding="utf-8")
    (tmp_path / "script.yaml").write_text("rules: [{say: Hello}]\n", encoding="utf-8")
    return tmp_path


def taken(text: str, folder: Path, env: dict[str, str] = ENV) -> Catalogue:
    path = folder / "models.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, env, AT)


def refusal(text: str, folder: Path) -> str:
    with pytest.raises(BadModelsFile) as caught:
        taken(text, folder)
    return str(caught.value)


def one(entry: str, alias: str = "[a]") -> str:
    return f"aliases: {{x: {alias}}}\ndeployments: {{a: {{{entry}}}}}"


LOCAL = "base_url: 'http://127.0.0.1:1/v1', model: m"


def test_a_deployment_is_read_with_everything_it_says(folder: Path) -> None:
    mini, local = taken(GOOD, folder).find("fast").deployments
    assert (mini.name, mini.provider, mini.model, mini.key.reveal()) == ("mini", "openai", "gpt-5-mini", "sk-open")
    assert (mini.kinds, mini.context_tokens, mini.tools, mini.concurrency_max) == (("chat",), 400_000, True, 8)
    assert mini.timeouts == Timeouts(10.0, 20.0, 5.0, 300.0)
    assert (local.tools, local.output_tokens_max, local.output_tokens_field) == (False, 512, "max_tokens")


def test_prices_come_from_the_file_or_from_the_table(folder: Path) -> None:
    catalogue = taken(GOOD, folder)
    mini, local = catalogue.find("fast").deployments
    small = catalogue.find("vectors").deployments[0]
    assert mini.rates == Rates(250_000_000, 2_000_000_000, 25_000_000, 250_000_000)
    assert mini.price_version == TABLE_VERSION
    assert (local.rates, local.price_version) == (FREE, "models file")
    assert small.rates == Rates(37_500_000, 0, 10_000_000, 37_500_000)


def test_a_price_id_names_a_model_of_the_table(folder: Path) -> None:
    deployment = taken(one(LOCAL + ", price: {id: openai/gpt-5-mini}"), folder).find("x").deployments[0]
    assert deployment.rates == Rates(250_000_000, 2_000_000_000, 25_000_000, 250_000_000)


def test_cache_writes_for_an_hour_and_sound_may_be_priced_in_the_file(folder: Path) -> None:
    sound = "audio_input_usd_per_mtok: 3, audio_output_usd_per_mtok: 4"
    price = f"input_usd_per_mtok: 1, cache_write_1h_usd_per_mtok: 2, {sound}"
    rates = taken(one(f"{LOCAL}, price: {{{price}}}"), folder).find("x").deployments[0].rates
    assert rates is not None
    assert (rates.cache_write_1h, rates.audio_input, rates.audio_output) == (
        2_000_000_000,
        3_000_000_000,
        4_000_000_000,
    )
    assert refusal(one(f"{LOCAL}, price: {{input_usd_per_mtok: 1, audio_input_usd_per_mtok: -3}}"), folder)


def test_a_price_that_nobody_knows_stays_unknown(folder: Path) -> None:
    assert taken(one(LOCAL), folder).find("x").deployments[0].rates is None


def test_aliases_are_shown_with_what_they_do(folder: Path) -> None:
    catalogue = taken(GOOD, folder)
    assert catalogue.find("fast").info() == ModelInfo("fast", ("chat",), "openai, openai_compatible", 400_000, True)
    assert catalogue.find("vectors").info() == ModelInfo("vectors", ("embeddings",), "openai", 0, False)
    assert (catalogue.default_chat, catalogue.default_embed) == ("fast", "vectors")


def test_an_unknown_alias_is_not_found(folder: Path) -> None:
    with pytest.raises(Failure) as caught:
        taken(GOOD, folder).find("gpt-9")
    assert (caught.value.code, caught.value.detail, caught.value.param) == (
        Code.NOT_FOUND,
        "there is no model 'gpt-9'",
        "model",
    )


def test_the_version_changes_with_the_content_the_key_and_the_script_and_with_nothing_else(folder: Path) -> None:
    first = taken(GOOD, folder)
    assert taken("# a remark\n" + GOOD, folder).version == first.version
    assert taken(GOOD.replace("concurrency_max: 8", "concurrency_max: 9"), folder).version != first.version
    assert taken(GOOD, folder, {"OPENAI_API_KEY": "sk-new"}).version != first.version
    scripted = one("provider: scripted, model: m, script: script.yaml")
    before = taken(scripted, folder).version
    (folder / "script.yaml").write_text("rules: [{say: Goodbye}]\n", encoding="utf-8")
    assert taken(scripted, folder).version != before


def test_only_the_deployment_that_was_edited_gets_a_new_id(folder: Path) -> None:
    before = taken(GOOD, folder).find("fast").deployments
    after = taken(GOOD.replace("concurrency_max: 8", "concurrency_max: 9"), folder).find("fast").deployments
    assert before[0].id != after[0].id
    assert before[1].id == after[1].id


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("aliases: [", "the models file is not YAML"),
        ("[]", "Expected `object`, got `array`"),
        ("", "Expected `object`, got `null`"),
        ("aliases: {}", "missing required field `deployments`"),
        (one(LOCAL + ", modle: x"), "unknown field `modle` - at `$.deployments"),
        (one(LOCAL + ", concurrency_max: many"), "Expected `int`, got `str`"),
        (one(LOCAL + ", concurrency_max: 0"), "concurrency_max at least 1"),
        (one(LOCAL + ", kinds: [paint]"), "Invalid enum value 'paint'"),
        (one(LOCAL + ", kinds: []"), "model and kinds must not be empty"),
        (one(LOCAL + ", timeouts: {idle_s: 0}"), "timeouts must be above 0 seconds"),
        (
            one(LOCAL + ", provider: magic"),
            "provider must be one of openai, openai_compatible, azure, anthropic, gemini, scripted",
        ),
        (one("model: m, provider: azure"), "base_url must be an http or https address"),
        (one("model: m, base_url: 'ftp://x/v1'"), "base_url must be an http or https address"),
        (one("model: m, base_url: 'http://[/'"), "base_url must be an http or https address"),
        (one("model: m, base_url: 'http://u:p@x/v1'"), "base_url may not hold a user or a password"),
        (one(LOCAL + ", key: sk-oops-in-the-file"), "the key itself may not stand in the file"),
        (one(LOCAL + ", key: 'env:MISSING'"), "the environment variable MISSING is not set"),
        (one(LOCAL + ", price: {id: openai/none}"), "price id openai/none is not in the price table"),
        (one(LOCAL + ", price: {}"), "write price: free"),
        (one(LOCAL + ", price: cheap"), "$.deployments"),
        (one(LOCAL + ", price: {input_usd_per_mtok: -1}"), "a price must be a number of dollars"),
        (one("provider: scripted, model: m"), "script must name the file of its answers"),
        (one("provider: scripted, model: m, script: none.yaml"), "cannot be read"),
        (one(LOCAL, "[]"), "alias x lists no deployment"),
        (one(LOCAL, "[b]"), "alias x lists b, which is not under deployments"),
        (one(LOCAL, "[a, a]"), "alias x lists a deployment twice"),
        (one(LOCAL).replace("deployments: {", "deployments: {b: {" + LOCAL + "}, "), "no alias lists the deployment b"),
        (one(LOCAL) + "\ndefault: {chat: y}", "default: y is not an alias that does chat"),
        (one(LOCAL) + "\ndefault: {embed: x}", "default: x is not an alias that does embeddings"),
    ],
)
def test_a_bad_file_is_refused_with_a_sentence(text: str, sentence: str, folder: Path) -> None:
    said = refusal(text, folder)
    assert sentence in said
    assert "sk-oops" not in said


def test_an_alias_of_two_embedding_models_is_refused(folder: Path) -> None:
    entry = "base_url: 'http://127.0.0.1:1/v1', kinds: [embeddings]"
    text = f"aliases: {{x: [a, b]}}\ndeployments: {{a: {{{entry}, model: m}}, b: {{{entry}, model: n}}}}"
    assert refusal(text, folder) == "alias x mixes embedding models (m, n): list one model only"


def test_a_bad_script_is_refused(folder: Path) -> None:
    (folder / "script.yaml").write_text("rules: [{sya: Hello}]\n", encoding="utf-8")
    assert "unknown field `sya`" in refusal(one("provider: scripted, model: m, script: script.yaml"), folder)


def test_a_file_that_is_missing_too_large_or_no_text_is_refused(folder: Path) -> None:
    with pytest.raises(BadModelsFile, match="cannot be read"):
        load(folder / "none.yaml", {}, AT)
    (folder / "big.yaml").write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(BadModelsFile, match="larger than 1048576 bytes"):
        load(folder / "big.yaml", {}, AT)
    (folder / "bytes.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(BadModelsFile, match="not UTF-8 text"):
        load(folder / "bytes.yaml", {}, AT)
