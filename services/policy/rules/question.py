"""A question and the token behind it, in Cedar's terms. Pure.

Who asks is what the token says, never what the question says; facts that the token or this service knows replace any
of the same name in the question.
"""

from datetime import UTC, datetime

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import is_token
from penstock.contracts.policy import INPUT_MAX_BYTES, Fact, Question, Reason
from penstock.contracts.scopes import wanting
from penstock.kit.identity import Claims
from services.policy.identity.scopes import allows
from services.policy.money.limits import AMOUNT_MAX
from services.policy.rules.schema_shape import Record, Shape
from services.policy.rules.tool_input import Misfit, RecordOf, in_type

DELEGATE = "agent.delegate"
"""Narrowing a token needs no scope of its own; policies may still forbid it."""
APPROVALS = "approval."
APPROVER_SCOPES = ("approve:", "approval:")
TENANT_OWNED = frozenset({"Collection", "Session", "Job", "Approval", "Key", "Run"})
FACTS_MAX = 64
ITEMS_MAX = 256
TEXT_MAX = 2048
ID_MAX = 256
OUTCOME_DUE_MAX_S = 7 * 24 * 3600.0
_LONG_MAX = 2**63 - 1
TOOL_CALL = "tool.call"
_OWN_FACTS = ("input", "agent", "chain", "depth", "run", "hour", "weekday", "cost_nano", "tokens")

Value = Fact | dict[str, dict[str, str]]


class Unfit(Exception):
    """A question that the bundle's schema has no place for."""


class CedarEntity(msgspec.Struct, frozen=True):
    """As cedarpy takes it."""

    uid: dict[str, str]
    attrs: dict[str, Value]
    parents: list[dict[str, str]] = []


class CedarQuestion(msgspec.Struct, frozen=True):
    """One request, with the two entities that it speaks of. `tool`: whose arguments stand in context.input."""

    action: str
    principal: CedarEntity
    resource: CedarEntity
    context: dict[str, object]
    tool: str = ""

    @property
    def part(self) -> str:
        return part(self.action, self.tool)


def part(action: str, tool: str) -> str:
    """The part of the policies that a question is for."""
    return f"{action} {tool}" if tool else action


def check(question: Question) -> None:
    """Bounds on what a service may send. Raises Failure(INVALID), which names the field."""
    _require(is_token(question.attempt), "attempt", "must be 1 to 64 of A-Z a-z 0-9 _ and -")
    _require(0 < len(question.action.name) <= ID_MAX, "action", "must have a name")
    _require(0 < len(question.resource.type) <= ID_MAX, "resource", "must have a type")
    _require(0 < len(question.resource.id) <= ID_MAX, "resource", f"needs an id of 1 to {ID_MAX} characters")
    _require(len(bytes(question.input)) <= INPUT_MAX_BYTES, "input", f"has more than {INPUT_MAX_BYTES} bytes")
    _require(len(question.arguments_digest) <= 128, "arguments_digest", "is too long")
    _require(0 <= question.outcome_due_s <= OUTCOME_DUE_MAX_S, "outcome_due_s", "is out of range")
    for name, facts in (("context", question.context), ("properties", question.resource.properties)):
        _require(len(facts) <= FACTS_MAX, name, f"may have at most {FACTS_MAX} facts")
        for fact, value in facts.items():
            _require(_bounded(value), name, f"has a fact {fact[:80]!r} that is too large")
    reserve = question.reserve
    if reserve is not None:
        _require(-1 <= reserve.cost_nano <= AMOUNT_MAX, "reserve", "has a cost that is out of range")
        _require(0 <= reserve.tokens <= AMOUNT_MAX, "reserve", "has a number of tokens that is out of range")


def grant_refusal(claims: Claims, question: Question) -> Reason | None:
    """What the token itself does not allow, whatever the policies say."""
    if question.action.name == DELEGATE:
        return None
    if not allows(claims.scopes, question.action.name) and not _is_approver(claims, question.action.name):
        return Reason("token", wanting(question.action.name))
    if question.resource.type == "Tool" and "*" not in claims.tools and question.resource.id not in claims.tools:
        return Reason("token", f"the token's tools do not include {question.resource.id}")
    return None


def _is_approver(claims: Claims, action: str) -> bool:
    """A right about approvals is of no use without the actions about approvals: it stands for them."""
    return action.startswith(APPROVALS) and any(one.startswith(APPROVER_SCOPES) for one in claims.scopes)


def in_cedar(
    shape: Shape, claims: Claims, question: Question, team: str, now: float, arguments: RecordOf | None = None
) -> CedarQuestion:
    """Raises Unfit. `team` is the key's team, `now` Unix seconds, `arguments` the type of the tool's."""
    action = shape.actions.get(question.action.name)
    if action is None:
        raise Unfit(f"the bundle knows no action {question.action.name!r}")
    kind, _, name = claims.sub.partition(":")
    principal = {"user": "User", "workload": "Workload"}.get(kind, "")
    if not name or principal not in action.principals:
        raise Unfit(f"{question.action.name} is for {' and '.join(action.principals)}, not for {kind!r}")
    if question.resource.type not in action.resources:
        raise Unfit(f"{question.action.name} acts on {' or '.join(action.resources)}, not on {question.resource.type}")
    context: dict[str, object] = {**_fitted(_facts(claims, question, now), action.context)}
    tool = ""
    if arguments is not None and question.action.name == TOOL_CALL:
        tool = question.resource.id
        try:
            context["input"] = in_type(bytes(question.input), arguments)
        except Misfit as misfit:
            raise Unfit(str(misfit)) from misfit
    return CedarQuestion(
        action=question.action.name,
        principal=CedarEntity(
            {"type": principal, "id": f"{claims.tenant}/{name}"},
            _fitted(_who(claims, team), shape.entities[principal]),
            [{"type": "Tenant", "id": claims.tenant}] if "Tenant" in shape.entities else [],
        ),
        resource=_resource(shape, claims, question),
        context=context,
        tool=tool,
    )


def _resource(shape: Shape, claims: Claims, question: Question) -> CedarEntity:
    asked = question.resource
    properties: dict[str, Value] = dict(asked.properties)
    name = asked.id
    if asked.type in TENANT_OWNED:
        name = f"{claims.tenant}/{asked.id}"
        properties.setdefault("tenant", claims.tenant)
    return CedarEntity({"type": asked.type, "id": name}, _fitted(properties, shape.entities[asked.type]))


def _who(claims: Claims, team: str) -> dict[str, Value]:
    who: dict[str, Value] = {"tenant": claims.tenant, "scopes": list(claims.scopes), "key": claims.key}
    if team:
        who["team"] = team
    return who


def _facts(claims: Claims, question: Question, now: float) -> dict[str, Value]:
    facts: dict[str, Value] = {name: value for name, value in question.context.items() if name not in _OWN_FACTS}
    reserve = question.reserve
    time = datetime.fromtimestamp(now, UTC)
    facts |= {
        "chain": list(claims.chain),
        "depth": len(claims.chain),
        "run": claims.run,
        "hour": time.hour,
        "weekday": time.isoweekday(),
        "cost_nano": max(0, reserve.cost_nano) if reserve else 0,
        "tokens": reserve.tokens if reserve else 0,
    }
    if claims.chain:
        name = claims.chain[-1].removeprefix("agent:")
        facts["agent"] = {"__entity": {"type": "Agent", "id": name}}
    return facts


def _fitted(facts: dict[str, Value], declared: Record) -> dict[str, Value]:
    """Only what the schema declares, each of the type it declares. Raises Unfit."""
    fitted: dict[str, Value] = {}
    for name, attribute in declared.items():
        if name in facts:
            fitted[name] = _as(name, attribute.kind, facts[name])
        elif attribute.required:
            raise Unfit(f"the fact {name!r} is missing")
    return fitted


def _as(name: str, kind: str, value: Value) -> Value:
    match kind, value:
        case ("Bool" | "Boolean", bool()) | ("String", str()) | ("Set<String>", list()):
            return value
        case "Long", int() if not isinstance(value, bool) and -_LONG_MAX <= value <= _LONG_MAX:
            return value
        case "Long", float() if value.is_integer() and abs(value) <= AMOUNT_MAX:
            return int(value)
        case "decimal", int() | float() if not isinstance(value, bool) and abs(value) < 10**14:
            return {"__extn": {"fn": "decimal", "arg": f"{value:.4f}"}}
        case _, {"__entity": {"type": entity}} if entity == kind:
            return value
        case _:
            raise Unfit(f"the fact {name!r} is not a {kind}")


def _bounded(value: Fact) -> bool:
    if isinstance(value, str):
        return len(value) <= TEXT_MAX
    if isinstance(value, list):
        return len(value) <= ITEMS_MAX and all(len(item) <= TEXT_MAX for item in value)
    return True


def _require(holds: bool, field: str, what: str) -> None:
    if not holds:
        raise Failure(Code.INVALID, f"{field} {what}", param=field)
