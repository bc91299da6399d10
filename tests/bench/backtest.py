"""How many recorded decisions a backtest asks again in a second: python -m tests.bench.backtest [decisions]

Method: 20,000 made-up decisions, no two of the same facts, half of them tool calls, asked of the starter bundle with 90
rules more, a tenth of which make answers change. `per core` counts the seconds of CPU that the one process used, so
that it does not depend on what else the machine does; `by the clock` is what passed, with 1 and with 2 processes, whose
start is part of it.
"""

import random
import sys
import time

import msgspec

from penstock.contracts.audit import DecisionRecord, Who
from penstock.contracts.bundles import PastDecision
from penstock.contracts.policy import Fact, Reason
from penstock.kit.obligations import KNOWN
from services.policy.publishing.backtest import backtest, chunks
from services.policy.publishing.replay import Report
from services.policy.rulebook import STARTER
from services.policy.rules.bundle import Bundle
from services.policy.rules.compiled import compile_bundle
from services.policy.rules.sources import read_sources

DECISIONS = 20_000
RULES = 90
RULE = (
    '@id("r{n}") @reason("no") forbid (principal, action == Action::"tool.call", resource)'
    ' when {{ context.cost_nano > {least} && context has tables && context.tables.contains("table_{n}") }};'
)


def bundle() -> Bundle:
    rules = "\n".join(RULE.format(n=n, least=500_000 if n % 10 else 900_000) for n in range(RULES))
    return compile_bundle({**read_sources(STARTER), "more.cedar": rules})


def decision(n: int, chance: random.Random) -> PastDecision:
    called = chance.random() < 0.5
    facts: dict[str, Fact] = {"tables": [f"table_{chance.randrange(200)}" for _ in range(2)], "writes": False}
    record = DecisionRecord(
        decision=f"dec_{n}",
        attempt=f"att_{n}",
        effect="allow",
        who=Who(f"user:u{chance.randrange(500)}", ("agent:clerk",), "key"),
        action="tool.call" if called else "model.complete",
        resource=f'Tool::"tool_{chance.randrange(50)}"' if called else f'Model::"model_{chance.randrange(10)}"',
        bundle="0f",
        reasons=(Reason("scoped-use", "scoped-use"),),
        at=1_700_000_000.0 + n,
        scopes=("*",),
        tools=("*",),
        run=f"run_{n}",
        properties={"effect": "read"} if called else {},
        facts=facts if called else {},
        cost_nano=chance.randrange(1_000_000),
    )
    return PastDecision("acme", "2026-11-24T12:00:00.000Z", record)


def measured(lines: list[bytes], jobs: int) -> tuple[Report, float, float]:
    """The report, seconds by the clock, and seconds of this process's CPU."""
    asked = bundle()
    began, cpu = time.perf_counter(), time.process_time()
    with backtest(asked, KNOWN, jobs) as test:
        for chunk in chunks(lines):
            test.feed(chunk)
        report = test.end()
    return report, time.perf_counter() - began, time.process_time() - cpu


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else DECISIONS
    chance = random.Random(1)
    lines = [msgspec.json.encode(decision(n, chance)) for n in range(count)]
    report, took_s, cpu_s = measured(lines, 1)
    out = sys.stdout.write
    out(f"{report.decisions} decisions, {report.changed} change, {len(report.groups)} groups\n")
    out(f"per core                   {count / cpu_s:8.0f} decisions/s\n")
    out(f"by the clock, 1 process    {count / took_s:8.0f} decisions/s\n")
    _, took_s, _ = measured(lines, 2)
    out(f"by the clock, 2 processes  {count / took_s:8.0f} decisions/s\n")


if __name__ == "__main__":
    main()
