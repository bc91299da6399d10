"""OpenID AuthZEN Authorization API 1.0: requests of others as questions of ours, answers of ours as theirs. Pure.

The subject is who the credential belongs to; a request may repeat it and may not name anybody else.
"""

from typing import Literal

import msgspec

from penstock.contracts.errors import Code, Failure
from penstock.contracts.ids import new_id
from penstock.contracts.policy import NO_INPUT, ActionName, Decision, Entity, Fact, Question

EVALUATIONS_MAX = 100
WELL_KNOWN = "/.well-known/authzen-configuration"
EVALUATION = "/access/v1/evaluation"
EVALUATIONS = "/access/v1/evaluations"
MCP_CALL = "tools/call"
"""The action of AuthZEN's mapping of MCP, whose resource is of type `tool`."""
Semantic = Literal["execute_all", "deny_on_first_deny", "permit_on_first_permit"]


class Subject(msgspec.Struct, frozen=True):
    type: str
    id: str
    properties: dict[str, object] = {}


class Action(msgspec.Struct, frozen=True):
    name: str
    properties: dict[str, object] = {}


class Resource(msgspec.Struct, frozen=True):
    type: str
    id: str
    properties: dict[str, Fact] = {}


class Evaluation(msgspec.Struct, frozen=True):
    """One request, or one of several, which takes what it leaves out from the whole. `context.input`: a tool's
    arguments; everything else there is a fact."""

    subject: Subject | None = None
    action: Action | None = None
    resource: Resource | None = None
    context: dict[str, object] | None = None


class Options(msgspec.Struct, frozen=True):
    evaluations_semantic: Semantic = "execute_all"


class Several(Evaluation, frozen=True):
    """Requests in one; without `evaluations` it is a single one."""

    evaluations: list[Evaluation] = []
    options: Options = Options()


def single(asked: Evaluation, subject: str) -> Question:
    """`subject`: who the credential belongs to. Raises Failure INVALID, DENIED."""
    if asked.action is None or asked.resource is None:
        raise Failure(Code.INVALID, "an evaluation needs a subject, an action and a resource", param="action")
    if asked.subject is not None and f"{asked.subject.type}:{asked.subject.id}" != subject:
        raise Failure(Code.DENIED, "the subject is not who the credential belongs to: leave it out, or name them")
    action, kind = asked.action.name, asked.resource.type
    if action == MCP_CALL and kind == "tool":
        action, kind = "tool.call", "Tool"
    context = dict(asked.context or {})
    arguments = context.pop("input", None)
    return Question(
        ActionName(action),
        Entity(kind, asked.resource.id, asked.resource.properties),
        attempt=new_id("att"),
        context=_facts(context),
        outcome_due_s=0.0,
        input=NO_INPUT if arguments is None else msgspec.Raw(msgspec.json.encode(arguments)),
    )


def several(asked: Several, subject: str) -> list[Question]:
    """One question for each. Raises as `single`, and TOO_LARGE."""
    if len(asked.evaluations) > EVALUATIONS_MAX:
        raise Failure(Code.TOO_LARGE, f"at most {EVALUATIONS_MAX} evaluations at once")
    return [
        single(
            Evaluation(
                one.subject or asked.subject,
                one.action or asked.action,
                one.resource or asked.resource,
                asked.context if one.context is None else one.context,
            ),
            subject,
        )
        for one in asked.evaluations
    ]


def answered(decision: Decision) -> dict[str, object]:
    """As AuthZEN has it; `context` says why, by which bundle, and what a permit obliges to."""
    context: dict[str, object] = {"id": decision.context.id, "effect": decision.context.effect}
    if decision.context.code:
        context["code"] = decision.context.code
    context["reasons"] = [{"policy": one.policy, "text": one.text} for one in decision.context.reasons]
    if decision.context.obligations:
        context["obligations"] = list(decision.context.obligations)
    if decision.context.approval:
        context["approval"] = decision.context.approval
    return {"decision": decision.decision, "context": context}


def shown(decisions: list[Decision], semantic: Semantic) -> list[dict[str, object]]:
    """The answers, as far as the semantic wants them."""
    stop = {"deny_on_first_deny": False, "permit_on_first_permit": True}.get(semantic)
    answers: list[dict[str, object]] = []
    for decision in decisions:
        answers.append(answered(decision))
        if decision.decision is stop:
            break
    return answers


def configuration(url: str) -> dict[str, str]:
    """The metadata of this decision point (section 9). `url`: of the edge as its clients know it."""
    return {
        "policy_decision_point": url,
        "access_evaluation_endpoint": f"{url}{EVALUATION}",
        "access_evaluations_endpoint": f"{url}{EVALUATIONS}",
    }


def _facts(context: dict[str, object]) -> dict[str, Fact]:
    try:
        return msgspec.convert(context, dict[str, Fact])
    except msgspec.ValidationError as error:
        raise Failure(
            Code.INVALID, f"context holds texts, numbers, true, false and lists of texts: {error}", param="context"
        ) from error
