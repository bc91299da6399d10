"""A bundle of policies: a folder with `*.cedar`, `schema.cedarschema` and perhaps `tests.yaml`.

Loaded whole or refused whole. Parsed handles are kept, one set of policies per action, so that a decision looks only at
policies that can matter to it.
"""

import hashlib
from pathlib import Path

import cedarpy
import msgspec
from cedarpy import pst

from penstock.contracts.errors import Code
from penstock.contracts.policy import Question
from penstock.kit.identity import Claims
from services.policy.annotations import rule
from services.policy.decide import Rule, Ruling, Verdict, decide, refuse
from services.policy.nesting import too_deep
from services.policy.question import CedarQuestion, Unfit, grant_refusal, in_cedar
from services.policy.schema_shape import Shape, ShapeUnreadable, read_shape

BUNDLE_MAX_BYTES = 1024 * 1024
POLICIES_MAX = 1000
SCHEMA_FILE = "schema.cedarschema"
_TYPE_OF_ACTIONS = "Action"


class BundleRefused(Exception):
    """A bundle that may not be used, with a sentence for each reason."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class Policies:
    """The policies in force, cut by action."""

    def __init__(self, nodes: dict[str, pst.Template], rules: dict[str, Rule], shape: Shape) -> None:
        self._rules = rules
        self._places = {id: place for place, id in enumerate(rules)}
        self._slices: dict[str, cedarpy.PolicySet] = {}
        for action in shape.actions:
            names = _with_groups(action, shape)
            concerned = {id: node for id, node in nodes.items() if _concerns(node, names)}
            self._slices[action] = cedarpy.PolicySet.from_pst(pst.PolicySet({}, concerned, ()))

    def ask(
        self, action: str, requests: list[dict[str, object]], entities: str, schema: cedarpy.Schema
    ) -> list[Ruling]:
        answers = cedarpy.is_authorized_batch(requests, self._slices[action], entities, schema)
        return [self._ruling(answer) for answer in answers]

    def _ruling(self, answer: cedarpy.AuthzResult) -> Ruling:
        diagnostics = answer.diagnostics
        if answer.decision is cedarpy.Decision.NoDecision:
            return Ruling(False, unfit="the question does not fit the bundle's schema")
        # in the order of the files: Cedar gives them in none, and a record made twice must be the same
        rules = tuple(self._rules[id] for id in sorted(diagnostics.reasons, key=self._places.__getitem__))
        failed = tuple(_culprits(diagnostics.errors, self._rules))
        return Ruling(answer.allowed, rules, failed)


class Bundle:
    """A bundle that passed every check. `version` is the digest of its content."""

    def __init__(
        self, version: str, schema: cedarpy.Schema, shape: Shape, live: Policies, shadowed: Policies | None, rules: int
    ) -> None:
        self.version = version
        self.rules = rules
        self.shape = shape
        self._schema = schema
        self._live = live
        self._shadowed = shadowed

    def judge(
        self, claims: Claims, questions: list[Question], known: frozenset[str], team: str, now: float
    ) -> list[Verdict]:
        """One verdict per question, in order. Never raises for what a question says."""
        verdicts: list[Verdict | None] = []
        fitting: list[tuple[int, CedarQuestion]] = []
        for place, question in enumerate(questions):
            verdict: Verdict | None = None
            reason = grant_refusal(claims, question)
            if reason is not None:
                verdict = refuse(Code.DENIED, reason)
            else:
                try:
                    fitting.append((place, in_cedar(self.shape, claims, question, team, now)))
                except Unfit as unfit:
                    verdict = decide(Ruling(False, unfit=str(unfit)))
            verdicts.append(verdict)
        for group in _groups(fitting):
            for (place, _), verdict in zip(group, self._answers([asked for _, asked in group], known), strict=True):
                verdicts[place] = verdict
        return [verdict for verdict in verdicts if verdict is not None]

    def _answers(self, asked: list[CedarQuestion], known: frozenset[str]) -> list[Verdict]:
        """All of one action, no two of them about differing entities of one name."""
        action = asked[0].action
        entities = {(e.uid["type"], e.uid["id"]): e for one in asked for e in (one.principal, one.resource)}
        text = msgspec.json.encode(list(entities.values())).decode()
        requests: list[dict[str, object]] = [
            {
                "principal": one.principal.uid,
                "action": {"type": _TYPE_OF_ACTIONS, "id": action},
                "resource": one.resource.uid,
                "context": msgspec.json.encode(one.context).decode(),
            }
            for one in asked
        ]
        live = self._live.ask(action, requests, text, self._schema)
        if self._shadowed is None:
            return [decide(ruling, None, known) for ruling in live]
        shadowed = self._shadowed.ask(action, requests, text, self._schema)
        return [decide(ruling, other, known) for ruling, other in zip(live, shadowed, strict=True)]


def read_bundle(folder: Path) -> Bundle:
    """The bundle in `folder`, without its own tests (bundle_cases.py). Raises BundleRefused."""
    files = _read(folder)
    schema, shape = _schema(files.pop(SCHEMA_FILE, None))
    texts = {name: text for name, text in files.items() if name.endswith(".cedar")}
    problems: list[str] = [] if texts else ["there is no *.cedar file"]
    for name, text in texts.items():
        if too_deep(text):
            problems.append(f"{name} has a policy that is nested too deep or too long")
            continue
        try:
            cedarpy.PolicySet.from_str(text)
        except ValueError as error:
            problems.append(f"{name} cannot be read: {_short(error)}")
    if problems:
        raise BundleRefused(problems)
    return _compile(_version(folder), "\n".join(texts.values()), schema, shape)


def _compile(version: str, text: str, schema: cedarpy.Schema, shape: Shape) -> Bundle:
    try:
        found = cedarpy.PolicySet.from_str(text).to_pst()
    except ValueError as error:
        raise BundleRefused([f"the policies cannot be read: {_short(error)}"]) from error
    result = cedarpy.validate_policies(text, schema)
    names = result.id_annotations_by_policy_id
    problems = [f"{names.get(e.policy_id, e.policy_id)}: {_short(e.error)}" for e in result.errors]
    if not result.validation_passed and not problems:
        problems.append("the policies do not fit the schema")
    nodes = dict(sorted(found.static_policies.items(), key=lambda item: int(item[0].removeprefix("policy"))))
    if found.templates:
        problems.append("a policy has a ?slot: templates are not supported")
    if not 0 < len(nodes) <= POLICIES_MAX:
        problems.append(f"there are {len(nodes)} policies. Write 1 to {POLICIES_MAX}")
    rules = {id: rule(node.annotations, node.effect == "permit", problems) for id, node in nodes.items()}
    problems.extend(_repeated([one.id for one in rules.values() if one.id]))
    if problems:
        raise BundleRefused(problems)
    live = {id: node for id, node in nodes.items() if not rules[id].shadow}
    shadowed = Policies(nodes, rules, shape) if len(live) < len(nodes) else None
    return Bundle(version, schema, shape, Policies(live, rules, shape), shadowed, len(nodes))


def _read(folder: Path) -> dict[str, str]:
    """Every file of a bundle, by name, in the order of names. Raises BundleRefused."""
    try:
        paths = [path for path in sorted(folder.iterdir()) if path.suffix == ".cedar" or path.name == SCHEMA_FILE]
        if sum(path.stat().st_size for path in paths) > BUNDLE_MAX_BYTES:
            raise BundleRefused([f"the bundle is larger than {BUNDLE_MAX_BYTES} bytes"])
        return {path.name: path.read_text(encoding="utf-8") for path in paths}
    except OSError as error:
        raise BundleRefused([f"the bundle {folder} cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise BundleRefused([f"the bundle {folder} has a file that is not UTF-8"]) from error


def _version(folder: Path) -> str:
    """Digest over names and contents, tests included."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".cedar", ".cedarschema", ".yaml"):
            content = path.read_bytes()
            digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _schema(text: str | None) -> tuple[cedarpy.Schema, Shape]:
    if text is None:
        raise BundleRefused([f"there is no {SCHEMA_FILE}"])
    if too_deep(text, angles=True):
        raise BundleRefused([f"{SCHEMA_FILE} is nested too deep"])
    try:
        schema = cedarpy.Schema.from_str(text)
        return schema, read_shape(str(schema))
    except ValueError as error:
        raise BundleRefused([f"{SCHEMA_FILE} cannot be read: {_short(error)}"]) from error
    except ShapeUnreadable as error:
        raise BundleRefused([f"{SCHEMA_FILE}: {error}"]) from error


def _concerns(node: pst.Template, names: frozenset[str]) -> bool:
    """Whether the policy's scope can match an action of these names."""
    match node.action:
        case pst.ActionEq(entity):
            return entity.id in names
        case pst.ActionIn(entities):
            return any(entity.id in names for entity in entities)
        case _:
            return True


def _with_groups(action: str, shape: Shape) -> frozenset[str]:
    """The action's name and those of all groups above it."""
    names: set[str] = set()
    waiting = [action]
    while waiting:
        name = waiting.pop()
        if name not in names:
            names.add(name)
            waiting.extend(shape.actions[name].groups if name in shape.actions else ())
    return frozenset(names)


def _groups(asked: list[tuple[int, CedarQuestion]]) -> list[list[tuple[int, CedarQuestion]]]:
    """Questions that one call of Cedar can answer: one action, and one set of attributes for each entity."""
    groups: dict[tuple[str, int], list[tuple[int, CedarQuestion]]] = {}
    seen: dict[tuple[str, int, str, str], CedarQuestion] = {}
    for place, one in asked:
        turn = 0
        while True:
            uid = (one.action, turn, one.resource.uid["type"], one.resource.uid["id"])
            if uid not in seen or seen[uid].resource == one.resource:
                break
            turn += 1
        seen[uid] = one
        groups.setdefault((one.action, turn), []).append((place, one))
    return list(groups.values())


def _culprits(errors: list[str], rules: dict[str, Rule]) -> list[str]:
    """Ids of the policies that the errors name; Cedar's own text may hold what the question said, so it stays out."""
    return [next((one.id for id, one in rules.items() if f"`{id}`" in error), "policies") for error in errors]


def _repeated(names: list[str]) -> list[str]:
    return [f"two policies have @id({name!r})" for name in sorted({n for n in names if names.count(n) > 1})]


def _short(error: object) -> str:
    return " ".join(str(error).split())[:500]
