"""Settings from the environment."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from msgspec import Meta

from penstock.contracts.errors import Failure
from penstock.kit.config import ConfigError, KitConfig, Secret, load, read_file, shown, unknown_names


class Config(KitConfig, frozen=True, kw_only=True):
    """A service's settings."""

    model: str
    api_key: Secret = Secret()
    share: Annotated[float, Meta(ge=0, le=1)] = 0.5
    tries: Annotated[int, Meta(ge=1)] = 3
    fast: bool = False
    mode: Literal["open", "closed"] = "closed"
    hosts: tuple[str, ...] = ()


def problems(env: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as error:
        load(Config, {"PENSTOCK_MODEL": "small", **env})
    return error.value.problems


def test_what_is_not_set_has_its_default() -> None:
    config = load(Config, {"PENSTOCK_MODEL": "small", "PATH": "/bin"})
    assert (config.model, config.share, config.drain_s, config.nats_url) == (
        "small",
        0.5,
        25.0,
        "nats://127.0.0.1:4222",
    )


def test_values_are_read_as_the_types_of_their_fields() -> None:
    config = load(
        Config,
        {
            "PENSTOCK_MODEL": "7",
            "PENSTOCK_SHARE": "1",
            "PENSTOCK_TRIES": " 5 ",
            "PENSTOCK_FAST": "true",
            "PENSTOCK_MODE": "open",
            "PENSTOCK_HOSTS": '["a.example", "b.example"]',
            "PENSTOCK_HEALTH_PORT": "9090",
        },
    )
    assert (config.model, config.share, config.tries, config.fast) == ("7", 1.0, 5, True)
    assert (config.mode, config.hosts, config.health_port) == ("open", ("a.example", "b.example"), 9090)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("HEALTH_PORT", "http", "PENSTOCK_HEALTH_PORT must be a whole number from 0 to 65535, not 'http'."),
        ("HEALTH_PORT", "70000", "PENSTOCK_HEALTH_PORT must be a whole number from 0 to 65535, not '70000'."),
        ("DRAIN_S", "-1", "PENSTOCK_DRAIN_S must be a number of at least 0, not '-1'."),
        ("CHECK_EVERY_S", "0", "PENSTOCK_CHECK_EVERY_S must be a number above 0, not '0'."),
        ("FAST", "maybe", "PENSTOCK_FAST must be true or false, not 'maybe'."),
        ("MODE", "ajar", "PENSTOCK_MODE must be one of closed, open, not 'ajar'."),
        ("HOSTS", "a.example", "PENSTOCK_HOSTS must be a JSON list, each item a text, not 'a.example'."),
        ("NATS_URL", "", "PENSTOCK_NATS_URL must be a text that is not empty, not ''."),
    ],
)
def test_a_bad_value_is_refused_with_what_to_write(name: str, value: str, sentence: str) -> None:
    assert problems({f"PENSTOCK_{name}": value}) == [sentence]


def test_every_problem_is_named_at_once() -> None:
    assert len(problems({"PENSTOCK_TRIES": "0", "PENSTOCK_FAST": "7"})) == 2


def test_a_setting_without_a_default_must_be_there() -> None:
    with pytest.raises(ConfigError, match=r"PENSTOCK_MODEL must be set: write a text\."):
        load(Config, {})


def test_a_secret_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    config = load(Config, {"PENSTOCK_MODEL": "m", "PENSTOCK_API_KEY_FILE": str(tmp_path / "key")})
    assert config.api_key.reveal() == "s3cret"
    assert load(Config, {"PENSTOCK_MODEL": "m", "PENSTOCK_API_KEY": "direct"}).api_key == Secret("direct")


def test_a_secret_file_that_cannot_be_used_is_refused_in_words(tmp_path: Path) -> None:
    missing, empty = str(tmp_path / "none"), tmp_path / "empty"
    empty.write_text("\n")
    assert problems({"PENSTOCK_API_KEY_FILE": missing}) == [
        f"PENSTOCK_API_KEY_FILE must name a file that can be read: '{missing}': No such file or directory."
    ]
    assert problems({"PENSTOCK_API_KEY_FILE": str(empty)})[0].startswith(
        "PENSTOCK_API_KEY_FILE must name a file with 1"
    )
    assert problems({"PENSTOCK_API_KEY_FILE": missing, "PENSTOCK_API_KEY": "x"}) == [
        "PENSTOCK_API_KEY and PENSTOCK_API_KEY_FILE are both set: keep one of them."
    ]


def test_a_secret_never_shows_itself() -> None:
    config = load(Config, {"PENSTOCK_MODEL": "m", "PENSTOCK_API_KEY": "s3cret", "PENSTOCK_NATS_URL": "nats://u:p4ss@b"})
    for text in (repr(config), str(config.api_key), f"{config.api_key}", str(shown(config))):
        assert "s3cret" not in text
    assert shown(config)["api_key"] == "[hidden]"
    assert shown(config)["nats_url"] == "nats://[hidden]@b"
    assert shown(config)["drain_s"] == 25.0


def test_names_that_mean_nothing_are_told() -> None:
    env = {"PENSTOCK_DRAINS": "1", "PENSTOCK_API_KEY_FILE": "x", "PENSTOCK_MODEL": "m", "HOME": "/"}
    assert unknown_names(Config, env) == ["PENSTOCK_DRAINS"]


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_bytes(b"12345")
    assert read_file(str(file), "the models file", 5) == b"12345"
    with pytest.raises(Failure, match="the models file is larger than 4 bytes"):
        read_file(str(file), "the models file", 4)
    with pytest.raises(Failure, match="the models file cannot be read"):
        read_file(str(tmp_path / "none"), "the models file", 4)
