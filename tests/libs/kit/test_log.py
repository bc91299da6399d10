"""JSON lines without secrets."""

import json
import logging

import pytest

from penstock.contracts.meta import Meta
from penstock.kit.log import LibraryLogs, Log, scrub
from tests.support.clock import HandClock

JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1c2VyOmFsaWNlIn0.c2lnbmF0dXJl"
SEED = "SUAM6LW4VOPMG2XQJHS6QEUSEXXCHRMKVEHAYTVSHNDPBA2UMJCCNGDDLA"


def lines_of(written: list[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in written]


def test_a_line_has_the_time_the_level_the_event_and_the_fields() -> None:
    written: list[str] = []
    Log(written.append, clock=HandClock(1_800_000_000.0)).bind(service="router").info("ready", port=8080)
    assert lines_of(written) == [
        {"time": "2027-01-15T08:00:00.000Z", "level": "info", "service": "router", "event": "ready", "port": 8080}
    ]
    assert written[0].endswith("\n")


def test_lines_below_the_level_are_not_written() -> None:
    written: list[str] = []
    log = Log(written.append, level="warning")
    log.info("not this")
    log.error("but this")
    assert [line["event"] for line in lines_of(written)] == ["but this"]
    assert (log.enabled("info"), log.enabled("warning")) == (False, True)


def test_a_log_of_a_message_names_what_it_belongs_to() -> None:
    written: list[str] = []
    meta = Meta(request="req_1", tenant="acme", token=JWT, traceparent=f"00-{'a' * 32}-{'b' * 16}-01", job="job_1")
    Log(written.append).of(meta).info("step")
    line = lines_of(written)[0]
    assert (line["request"], line["tenant"], line["job"], line["trace"]) == ("req_1", "acme", "job_1", "a" * 32)
    assert "step" not in line


@pytest.mark.parametrize(
    "text",
    [
        JWT,
        SEED,
        f"Authorization: Bearer {JWT[:9]}abc",
        "sk-proj-abcdefghijklmnop",
        "nats://alice:wonderland@broker:4222",
        "nats://wonderland@broker:4222",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIP\n-----END PRIVATE KEY-----",
    ],
)
def test_a_secret_in_a_text_is_hidden(text: str) -> None:
    shown = scrub(f"before {text} after")
    assert "[hidden]" in shown
    for secret in (JWT, SEED, "abcdefghijklmnop", "wonderland", "MC4CAQ", "eyJhbGciOabc"):
        assert secret not in shown


@pytest.mark.parametrize("name", ["token", "api_key", "nats_seed", "password", "Authorization"])
def test_a_field_whose_name_says_secret_is_hidden_whatever_it_holds(name: str) -> None:
    written: list[str] = []
    fields: dict[str, str] = {name: "harmless"}
    Log(written.append).info("x", **fields)
    assert lines_of(written)[0][name] == "[hidden]"


def test_the_path_of_a_secret_file_and_a_count_of_tokens_are_shown() -> None:
    written: list[str] = []
    Log(written.append).info("x", nats_seed_file="/run/secrets/seed", tokens=12)
    line = lines_of(written)[0]
    assert (line["nats_seed_file"], line["tokens"]) == ("/run/secrets/seed", 12)


def test_a_log_that_cannot_be_written_disturbs_nobody() -> None:
    def closed(_: str) -> None:
        raise BrokenPipeError

    Log(closed).error("nobody hears this")


def test_a_long_text_is_cut() -> None:
    assert len(scrub("x" * 100_000)) == 2001


def test_what_libraries_log_becomes_a_line_with_their_fields() -> None:
    written: list[str] = []
    logger = logging.getLogger("test.library")
    handler = LibraryLogs(Log(written.append))
    logger.addHandler(handler)
    try:
        logger.warning("lost %s", JWT, extra={"fields": {"why": "gone"}})
    finally:
        logger.removeHandler(handler)
    line = lines_of(written)[0]
    assert (line["level"], line["logger"], line["message"]) == ("warning", "test.library", "lost [hidden]")
    assert line["about_why"] == "gone"
