"""A bundle of policies that passed every check (compiled.py), and what it answers."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import cedarpy
import msgspec
from cedarpy import pst

from penstock.contracts.errors import Code
from penstock.contracts.policy import Question
from penstock.kit.identity import Claims
from services.policy.rules.decide import Rule, Ruling, Verdict, decide, refuse
from services.policy.rules.policies import Policies
from services.policy.rules.question import TOOL_CALL, CedarQuestion, Unfit, grant_refusal, in_cedar, part
from services.policy.rules.schema_shape import Shape
from services.policy.rules.tool_input import RecordOf

REMEMBERED_MAX = 4096
INPUT = "input"
_TYPE_OF_ACTIONS = "Action"


class Asking(msgspec.Struct, frozen=True):
    """A question, who asks it, of which team, and when (Unix seconds). `listing`: what may be done is listed; rules
    about a tool's arguments have no say while there are none."""

    claims: Claims
    question: Question
    team: str
    now: float
    listing: bool = False


class Parsed(msgspec.Struct, frozen=True):
    """What a bundle is made of. `inputs`: the arguments' type of each tool whose arguments some policy looks at, and
    `input_schemas` the schema in which that tool's calls are asked; `nodes` and `rules` by Cedar's own ids."""

    schema: cedarpy.Schema
    shape: Shape
    nodes: Mapping[str, pst.Template]
    rules: Mapping[str, Rule]
    inputs: Mapping[str, RecordOf] = {}
    input_schemas: Mapping[str, cedarpy.Schema] = {}
    warnings: tuple[str, ...] = ()


class Bundle:
    """`version` is the digest of its content, `rules` how many policies there are.

    An answer depends on nothing but the question and these policies, so that it is remembered: under the question
    without the facts that no policy looks at.
    """

    def __init__(self, version: str, parsed: Parsed, files: Mapping[str, str]) -> None:
        self.version = version
        self.files = files
        self.rules = len(parsed.nodes)
        self.shape = parsed.shape
        self.warnings = parsed.warnings
        self.parsed = parsed
        live = {id: node for id, node in parsed.nodes.items() if not parsed.rules[id].shadow}
        tools = frozenset(parsed.inputs)
        self._live = Policies(live, parsed.rules, parsed.shape, tools)
        self._shadowed: Policies | None = None
        if len(live) < len(parsed.nodes):
            self._shadowed = Policies(parsed.nodes, parsed.rules, parsed.shape, tools)
        self._remembered: OrderedDict[tuple[frozenset[str], bytes], Verdict] = OrderedDict()

    @property
    def answers_remembered(self) -> int:
        return len(self._remembered)

    def judge(
        self,
        claims: Claims,
        questions: Sequence[Question],
        known: frozenset[str],
        team: str,
        now: float,
        *,
        listing: bool = False,
    ) -> list[Verdict]:
        """One verdict per question, in order. Never raises for what a question says."""
        return self.judge_each([Asking(claims, question, team, now, listing) for question in questions], known)

    def judge_each(self, askings: Sequence[Asking], known: frozenset[str]) -> list[Verdict]:
        """The same for questions of different askers."""
        verdicts: dict[int, Verdict] = {}
        new: list[tuple[int, CedarQuestion]] = []
        keys: dict[int, bytes] = {}
        for place, asking in enumerate(askings):
            reason = grant_refusal(asking.claims, asking.question)
            if reason is not None:
                verdicts[place] = refuse(Code.DENIED, reason)
                continue
            try:
                asked = self.in_cedar(asking)
            except Unfit as unfit:
                verdicts[place] = decide(Ruling(False, unfit=str(unfit)))
                continue
            keys[place] = self._key(asked)
            remembered = self._remembered.get((known, keys[place]))
            if remembered is None:
                new.append((place, asked))
            else:
                verdicts[place] = remembered
        for group in _groups(new):
            for (place, _), verdict in zip(group, self._answers([asked for _, asked in group], known), strict=True):
                verdicts[place] = verdict
                self._remember((known, keys[place]), verdict)
        return [verdicts[place] for place in range(len(askings))]

    def in_cedar(self, asking: Asking) -> CedarQuestion:
        """As Cedar is asked. Raises Unfit."""
        question = asking.question
        kind = self.parsed.inputs.get(question.resource.id) if question.resource.type == "Tool" else None
        if asking.listing and not bytes(question.input):
            kind = None
        return in_cedar(self.shape, asking.claims, question, asking.team, asking.now, kind)

    def looks_at(self, question: Question, name: str) -> bool:
        """Whether the answer can depend on the fact, or the resource's property, of this name."""
        action, tool = question.action.name, question.resource.id
        if name == INPUT:
            return action == TOOL_CALL and tool in self.parsed.inputs
        if action not in self.shape.actions:
            return False
        concerned = part(action, tool) if action == TOOL_CALL and tool in self.parsed.inputs else action
        shadowed = self._shadowed
        return self._live.watches(concerned, name) or (shadowed is not None and shadowed.watches(concerned, name))

    def _key(self, asked: CedarQuestion) -> bytes:
        live, shadowed, where = self._live, self._shadowed, asked.part
        seen = {
            name: value
            for name, value in asked.context.items()
            if live.watches(where, name) or (shadowed is not None and shadowed.watches(where, name))
        }
        return msgspec.json.encode(msgspec.structs.replace(asked, context=seen))

    def _remember(self, key: tuple[frozenset[str], bytes], verdict: Verdict) -> None:
        self._remembered[key] = verdict
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)

    def _answers(self, asked: list[CedarQuestion], known: frozenset[str]) -> list[Verdict]:
        """All of one part, no two of them about differing entities of one name."""
        first = asked[0]
        entities = {(e.uid["type"], e.uid["id"]): e for one in asked for e in (one.principal, one.resource)}
        text = msgspec.json.encode(list(entities.values())).decode()
        requests: list[dict[str, object]] = [
            {
                "principal": one.principal.uid,
                "action": {"type": _TYPE_OF_ACTIONS, "id": one.action},
                "resource": one.resource.uid,
                "context": msgspec.json.encode(one.context).decode(),
            }
            for one in asked
        ]
        schema = self.parsed.input_schemas.get(first.tool, self.parsed.schema) if first.tool else self.parsed.schema
        live = self._live.ask(first.part, requests, text, schema)
        if self._shadowed is None:
            return [decide(ruling, None, known) for ruling in live]
        shadowed = self._shadowed.ask(first.part, requests, text, schema)
        return [decide(ruling, other, known) for ruling, other in zip(live, shadowed, strict=True)]


def _groups(asked: list[tuple[int, CedarQuestion]]) -> list[list[tuple[int, CedarQuestion]]]:
    """Questions that one call of Cedar can answer: one part, and one set of attributes for each entity."""
    groups: dict[tuple[str, int], list[tuple[int, CedarQuestion]]] = {}
    seen: dict[tuple[str, int, str, str], object] = {}
    for place, one in asked:
        turn = 0
        both = (one.principal, one.resource)
        while any(seen.get((one.part, turn, e.uid["type"], e.uid["id"]), e) != e for e in both):
            turn += 1
        for entity in both:
            seen[one.part, turn, entity.uid["type"], entity.uid["id"]] = entity
        groups.setdefault((one.part, turn), []).append((place, one))
    return list(groups.values())
