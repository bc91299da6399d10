"""The bundle's own tests: each case is asked when the bundle is loaded, and one wrong answer refuses it."""

from functools import lru_cache
from pathlib import Path
from typing import Literal

import msgspec

from penstock.contracts.policy import NO_INPUT, ActionName, Entity, Fact, Question, Reserve
from penstock.kit.identity import Claims
from services.policy.rules.bundle import Bundle
from services.policy.rules.compiled import compile_bundle
from services.policy.rules.decide import Verdict
from services.policy.rules.sources import TESTS_FILE, BundleRefused, read_sources

CASES_MAX = 2000
NOON = 1_700_049_600.0  # 2023-11-15 12:00 UTC: cases do not depend on when they are asked


class Who(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The token of a case."""

    tenant: str = "acme"
    subject: str = "user:alice"
    team: str = ""
    scopes: tuple[str, ...] = ("*",)
    tools: tuple[str, ...] = ("*",)
    chain: tuple[str, ...] = ()
    run: str = ""


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The question of a case. `resource` is `<type>/<id>`; `input` a tool's arguments; `at` Unix seconds, 0: noon."""

    action: str
    resource: str
    properties: dict[str, Fact] = {}
    facts: dict[str, Fact] = {}
    cost_nano: int = 0
    tokens: int = 0
    input: dict[str, object] | None = None
    at: float = 0.0


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`policy`: the @id of one that must be among the reasons."""

    name: str
    ask: Ask
    expect: Literal["allow", "deny", "transform", "hold", "shadow"]
    who: Who = Who()
    policy: str = ""


def load_bundle(folder: Path, known: frozenset[str] = frozenset()) -> Bundle:
    """The bundle, when it is sound and passes its own tests. Raises BundleRefused."""
    return prove(read_sources(folder), known)


def prove(files: dict[str, str], known: frozenset[str] = frozenset()) -> Bundle:
    """The bundle of these files, when it is sound and passes its own tests. Raises BundleRefused."""
    bundle = compile_bundle(files)
    problems = _failing(tuple(files.items()), known)
    if problems:
        raise BundleRefused(list(problems))
    return bundle


@lru_cache(maxsize=4)
def _failing(files: tuple[tuple[str, str], ...], known: frozenset[str]) -> tuple[str, ...]:
    """What its own tests have against it: the same for the same files, which are read each time one is touched."""
    bundle = compile_bundle(dict(files))
    cases = read_cases(dict(files).get(TESTS_FILE, ""))
    return tuple(problem for case in cases if (problem := try_case(bundle, case, known)))


def try_case(bundle: Bundle, case: Case, known: frozenset[str]) -> str:
    """What is wrong with the bundle's answer; empty when nothing is."""
    verdict = answer_to(bundle, case, known)
    if verdict.effect == case.expect and _named(verdict, case.policy):
        return ""
    why = ", ".join(f"{reason.policy} ({reason.text})" for reason in verdict.reasons)
    wanted = case.expect + (f" by {case.policy}" if case.policy else "")
    return f"test {case.name!r}: expected {wanted}, got {verdict.effect} by {why}"


def answer_to(bundle: Bundle, case: Case, known: frozenset[str]) -> Verdict:
    """What the bundle says of a case."""
    kind, _, name = case.ask.resource.partition("/")
    question = Question(
        ActionName(case.ask.action),
        Entity(kind, name, case.ask.properties),
        attempt="case",
        context=case.ask.facts,
        reserve=Reserve(case.ask.cost_nano, case.ask.tokens),
        input=NO_INPUT if case.ask.input is None else msgspec.Raw(msgspec.json.encode(case.ask.input)),
    )
    who = case.who
    claims = Claims(who.tenant, who.subject, 0.0, chain=who.chain, scopes=who.scopes, tools=who.tools, run=who.run)
    return bundle.judge(claims, [question], known, who.team, case.ask.at or NOON)[0]


def _named(verdict: Verdict, policy: str) -> bool:
    return not policy or policy in [reason.policy for reason in verdict.reasons]


def read_cases(text: str) -> list[Case]:
    """The cases of `tests.yaml`. Raises BundleRefused."""
    try:
        cases = msgspec.yaml.decode(text.encode(), type=list[Case] | None) or []
    except (msgspec.DecodeError, RecursionError) as error:
        raise BundleRefused([f"{TESTS_FILE} cannot be read: {error}"]) from error
    if len(cases) > CASES_MAX:
        raise BundleRefused([f"{TESTS_FILE} has {len(cases)} cases, at most {CASES_MAX} are allowed"])
    return cases
