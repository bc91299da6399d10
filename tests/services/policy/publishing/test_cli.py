"""`penstock policy`: folders checked here, bundles published and decisions explained in a plane."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from penstock.cli.main import main
from services.policy.rulebook import STARTER
from services.policy.rules.sources import read_sources
from tests.services.policy.conftest import Plane, complete
from tests.services.policy.publishing.conftest import FORBID, Operator
from tests.services.policy.publishing.test_explain import past
from tests.services.policy.publishing.test_replay import line

TOOLS = """
tools:
  - name: refund
    description: gives money back
    kind: http
    effect: once
    http: { url: "https://user:secret@example.com" }
    parameters: { type: object, properties: { amount: { type: number } }, required: [amount] }
"""
RULE = (
    '@id("small-refunds") forbid (principal, action == Action::"tool.call", resource == Tool::"refund")'
    ' when {{ context.input.{}.greaterThan(decimal("500.0")) }};'
)


def folder(path: Path, more: str = "") -> Path:
    path.mkdir()
    for name, text in read_sources(STARTER).items():
        (path / name).write_text(text)
    (path / "more.cedar").write_text(more or "// nothing\n")
    return path


def penstock(*arguments: str) -> int:
    return main(["policy", *arguments, "--json"])


def said(output: str) -> list[dict[str, object]]:
    return [json.loads(text) for text in output.splitlines()]


def test_a_folder_is_checked_and_every_problem_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = folder(tmp_path / "bad", "@id('x') permit (principal\n")
    idle = folder(tmp_path / "idle", '@id("x") forbid (principal, action, resource) when { false };')

    assert [penstock("check", str(bad)), penstock("check", str(idle)), penstock("check", "strict")] == [2, 0, 0]
    one, two, three = said(capsys.readouterr().out)
    assert (one["version"], two["problems"], three["warnings"]) == (one["version"], [], [])
    assert "more.cedar cannot be read" in str(one["problems"])
    assert "can never apply" in str(two["warnings"])


def test_a_slip_in_a_tools_argument_is_found_with_its_tools_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tools = tmp_path / "tools.yaml"
    tools.write_text(TOOLS)
    good = folder(tmp_path / "good", RULE.format("amount"))
    slip = folder(tmp_path / "slip", RULE.format("amuont"))

    assert penstock("check", str(good), "--tools", str(tools)) == 0
    assert penstock("check", str(slip), "--tools", str(tools)) == 2
    assert penstock("check", str(good)) == 2
    shown = capsys.readouterr().out
    assert "input.amuont" in shown
    assert "secret" not in shown


def test_the_cases_of_a_bundle_are_shown_with_their_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shut = folder(tmp_path / "shut", '@id("shut") forbid (principal, action == Action::"model.complete", resource);')

    assert [penstock("test", "starter"), penstock("test", str(shut))] == [0, 1]
    wrong = [case for case in said(capsys.readouterr().out) if case["problem"]]
    assert [case["answer"] for case in wrong] == ["deny by shut"]


def test_two_folders_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = folder(tmp_path / "before"), folder(tmp_path / "after", FORBID)

    assert penstock("diff", str(before), str(after)) == 0
    (found,) = said(capsys.readouterr().out)
    assert "closed" in str(found["added"])
    assert main(["policy", "diff", "starter", "strict"]) == 0
    assert "+ reading-tools" in capsys.readouterr().out


def test_an_exported_file_is_asked_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = tmp_path / "records.jsonl"
    allowed = [past("allow", "scoped-use", code="", decision=f"dec_{n}") for n in range(5)]
    records.write_bytes(b"\n".join(line(one) for one in allowed))
    closed = folder(tmp_path / "closed", FORBID)

    assert penstock("backtest", str(closed), "--from", str(records)) == 0
    (report,) = said(capsys.readouterr().out)
    assert (report["decisions"], report["changed"]) == (5, 5)
    records.write_text("no record")
    assert penstock("backtest", str(closed), "--from", str(records)) == 2
    assert penstock("backtest", str(closed), "--from", str(records), "--jobs", "0") == 2


@pytest.mark.parametrize("named", ["nowhere", "../nothing", "NOT A VERSION"])
def test_what_is_neither_a_folder_nor_a_version_is_said(named: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert penstock("check", named) == 2
    assert "is no folder and no version" in capsys.readouterr().out


async def test_a_bundle_goes_through_its_life_in_a_plane(
    plane: Plane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    credential = plane.key(tenant="operator", subject="user:olga", scopes=("*", "bundle:admin", "decision:admin"))
    user = plane.key()
    monkeypatch.setenv("PENSTOCK_URL", plane.broker.url)
    monkeypatch.setenv("PENSTOCK_TENANT", "operator")
    monkeypatch.setenv("PENSTOCK_API_KEY", credential)
    closed = folder(tmp_path / "closed", FORBID)

    async def command(*arguments: str) -> dict[str, object]:
        assert await asyncio.to_thread(penstock, *arguments) == 0
        (found,) = said(capsys.readouterr().out)
        return found

    async with plane.policy():
        await Operator.of(plane)
        token = (await plane.authenticate(user)).token
        first = await command("publish", "starter", "--note", "as shipped")
        second = await command("publish", str(closed), "--expects", "1")
        refused = await plane.evaluate(complete(model="large"), token)
        why = await command("explain", refused.context.id, "--tenant", "acme")
        report = await command("backtest", "starter", "--tenant", "acme")
        diff = await command("diff", "current", "starter")
        back = await command("rollback", "--note", "too strict")
        listed = msgspec.json.encode(await command("list"))
        files = await command("show", str(second["version"])[:12], "--to", str(tmp_path / "copy"))

    assert (first["number"], second["number"], back["number"]) == (1, 2, 3)
    assert why["again"] == "deny"
    assert (report["decisions"], report["changed"]) == (1, 1)
    assert "closed" in str(diff["removed"])
    assert listed.count(b'"number"') == 3
    assert files["more.cedar"] == FORBID == (tmp_path / "copy" / "more.cedar").read_text()
