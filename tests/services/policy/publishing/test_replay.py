"""Differences between bundles, and recorded decisions asked again."""

from pathlib import Path

import msgspec
import pytest

from penstock.contracts.audit import DECISION, OUTCOME, DecisionRecord, Record
from penstock.contracts.bundles import PastDecision
from penstock.contracts.policy import Reason
from services.policy.publishing.backtest import BadLine, backtest, chunks, read_line
from services.policy.publishing.diff import difference
from services.policy.publishing.replay import replay
from services.policy.rulebook import STARTER
from services.policy.rules.bundle import Bundle
from services.policy.rules.bundle_cases import read_cases
from services.policy.rules.compiled import compile_bundle
from services.policy.rules.sources import read_sources
from tests.services.policy.publishing.test_explain import past

FILES = read_sources(STARTER)
DEAR = (
    '@id("dear") @reason("too dear") forbid (principal, action == Action::"model.complete", resource)'
    " when { context.cost_nano > 1000 };\n"
)
NIGHT = '@id("night") forbid (principal, action == Action::"model.complete", resource) when { context.hour < 6 };\n'
NOBODY: frozenset[str] = frozenset()


def bundle(text: str = "", **files: str) -> Bundle:
    return compile_bundle({**FILES, **files, "own.cedar": text or "// nothing"})


def allowed(**changed: object) -> PastDecision:
    return past("allow", "scoped-use", code="", **changed)


def test_a_difference_names_policies_by_their_id_and_the_cases_that_turn() -> None:
    cases = read_cases(
        "- { name: dear, ask: { action: model.complete, resource: Model/a, cost_nano: 2000 }, expect: allow }\n"
        "- { name: cheap, ask: { action: model.complete, resource: Model/a, cost_nano: 5 }, expect: allow }\n"
    )
    found = difference(
        bundle(DEAR + NIGHT), bundle(NIGHT.replace("< 6", "< 7") + DEAR.replace("dear", "late")), cases, NOBODY
    )

    assert [change.id for change in found.added] == ["late"]
    assert [change.id for change in found.removed] == ["dear"]
    assert [(change.id, "< 6" in change.before, "< 7" in change.after) for change in found.changed] == [
        ("night", True, True)
    ]
    assert [(case.name, case.before, case.after) for case in found.cases] == [("dear", "deny by dear", "deny by late")]
    assert difference(bundle(DEAR), bundle("// other words\n" + DEAR), cases, NOBODY).none


def test_decisions_that_would_change_are_grouped_by_the_rule_that_makes_them() -> None:
    decisions = [allowed(decision=f"dec_{n}", cost_nano=n * 400) for n in range(6)]
    report = replay(bundle(DEAR), decisions, NOBODY)

    assert (report.decisions, report.same, report.changed, report.unknown, report.older) == (6, 3, 3, 0, 0)
    (group,) = report.groups.values()
    assert (group.rule, group.change, group.count) == ("dear", "permit -> deny", 3)
    assert [example.decision for example in group.examples] == ["dec_3", "dec_4", "dec_5"]
    assert group.examples[0].why == "dear: too dear"


def test_a_rule_that_is_gone_is_named_by_what_it_let_go() -> None:
    report = replay(bundle(), [past()], NOBODY)

    (group,) = report.groups.values()
    assert (group.rule, group.change) == ("scoped-use", "deny -> permit")


@pytest.mark.parametrize("code", ["budget_exhausted", "rate_limited"])
def test_a_refusal_for_money_counts_as_what_the_policies_said(code: str) -> None:
    spent = past(code=code, reasons=(Reason("budget", "nothing left"),))

    assert replay(bundle(), [spent], NOBODY).same == 1
    assert replay(bundle(DEAR), [spent], NOBODY).changed == 1


def test_what_cannot_be_told_is_counted_and_not_guessed() -> None:
    looks = (
        '@id("x") forbid (principal, action == Action::"model.complete", resource)'
        ' when { context has tables && context.tables.contains("x") };'
    )
    decisions = [allowed(withheld=("tables",)), allowed(withheld=("hosts",)), allowed(at=0.0)]
    report = replay(bundle(looks), decisions, NOBODY)

    assert (report.same, report.changed, report.unknown, report.older) == (1, 0, 1, 1)


def test_a_rule_about_arguments_cannot_be_told_from_a_record() -> None:
    head = '@id("x") forbid (principal, action == Action::"tool.call", resource == Tool::"t")'
    looks = head + " when { context.input.n > 5 };"
    tools = '{"t": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}'
    called = [
        allowed(action="tool.call", resource=f'Tool::"{name}"', withheld=("input",), properties={"effect": "read"})
        for name in ("t", "other")
    ]
    report = replay(bundle(looks, **{"tools.json": tools}), called, NOBODY)

    assert (report.unknown, report.same) == (1, 1)


def line(one: PastDecision, kind: str = DECISION) -> bytes:
    record = Record(
        id="x",
        source="policy",
        type=kind,
        time=one.time,
        tenant=one.tenant,
        data=msgspec.Raw(msgspec.json.encode(one.record)),
    )
    return msgspec.json.encode(record)


def test_lines_are_read_as_records_entries_and_decisions() -> None:
    one = allowed()
    entry = b'{"index":1,"sequence":2,"hash":"0f","record":' + line(one) + b"}"

    assert read_line(line(one)) == read_line(entry) == read_line(msgspec.json.encode(one)) == one
    assert read_line(line(one, OUTCOME)) is None


@pytest.mark.parametrize("bad", [b"{}", b"[]", b"nonsense", b"{" * 5000, b'{"type":"penstock.decision.v1"}'])
def test_a_line_that_is_no_record_is_refused(bad: bytes) -> None:
    with pytest.raises(BadLine):
        read_line(bad)


def test_many_lines_are_read_piece_by_piece() -> None:
    assert [len(chunk) for chunk in chunks([b"1", b"", b"2", b"3", b"4", b"\n", b"5"], size=2)] == [2, 2, 1]


def test_several_processes_find_what_one_does(tmp_path: Path) -> None:
    lines = [line(allowed(decision=f"dec_{n}", cost_nano=n)) for n in range(0, 2000, 10)]
    reports = []
    for jobs in (1, 2):
        with backtest(bundle(DEAR), NOBODY, jobs) as test:
            for chunk in chunks(lines, size=50):
                test.feed(chunk)
            reports.append(test.end())

    assert reports[0] == reports[1]
    assert (reports[0].decisions, reports[0].changed) == (200, 99)


def test_a_record_of_an_older_version_still_decodes() -> None:
    older = (
        b'{"decision":"d","attempt":"a","effect":"allow","who":{"origin":"user:a"},'
        b'"action":"x","resource":"y","bundle":"b"}'
    )

    assert msgspec.json.decode(older, type=DecisionRecord).at == 0.0
