"""A bundle of policies: a folder with `*.cedar`, `schema.cedarschema` and perhaps `tests.yaml`.

Loaded whole or refused whole.
"""

import hashlib
from collections import OrderedDict
from pathlib import Path

import cedarpy
import msgspec

from penstock.contracts.errors import Code
from penstock.contracts.policy import Question
from penstock.kit.identity import Claims
from services.policy.rules.annotations import rule
from services.policy.rules.decide import Ruling, Verdict, decide, refuse
from services.policy.rules.nesting import too_deep
from services.policy.rules.policies import Policies
from services.policy.rules.question import CedarQuestion, Unfit, grant_refusal, in_cedar
from services.policy.rules.schema_shape import Shape, ShapeUnreadable, read_shape

BUNDLE_MAX_BYTES = 1024 * 1024
POLICIES_MAX = 1000
SCHEMA_FILE = "schema.cedarschema"
TESTS_FILE = "tests.yaml"
OTHER_FILES = (SCHEMA_FILE, TESTS_FILE)
REMEMBERED_MAX = 4096
_TYPE_OF_ACTIONS = "Action"


class BundleRefused(Exception):
    """A bundle that may not be used, with a sentence for each reason."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("; ".join(problems))


class Bundle:
    """A bundle that passed every check. `version` is the digest of its content.

    An answer depends on nothing but the question and these policies, so that it is remembered: under the question
    without the facts that no policy looks at.
    """

    def __init__(
        self, version: str, schema: cedarpy.Schema, shape: Shape, live: Policies, shadowed: Policies | None, rules: int
    ) -> None:
        self.version = version
        self.rules = rules
        self.shape = shape
        self._schema = schema
        self._live = live
        self._shadowed = shadowed
        self._remembered: OrderedDict[tuple[frozenset[str], bytes], Verdict] = OrderedDict()

    @property
    def answers_remembered(self) -> int:
        return len(self._remembered)

    def judge(
        self, claims: Claims, questions: list[Question], known: frozenset[str], team: str, now: float
    ) -> list[Verdict]:
        """One verdict per question, in order. Never raises for what a question says."""
        verdicts: dict[int, Verdict] = {}
        new: list[tuple[int, CedarQuestion]] = []
        keys: dict[int, bytes] = {}
        for place, question in enumerate(questions):
            reason = grant_refusal(claims, question)
            if reason is not None:
                verdicts[place] = refuse(Code.DENIED, reason)
                continue
            try:
                asked = in_cedar(self.shape, claims, question, team, now)
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
        return [verdicts[place] for place in range(len(questions))]

    def _key(self, asked: CedarQuestion) -> bytes:
        live, shadowed, action = self._live, self._shadowed, asked.action
        seen = {
            name: value
            for name, value in asked.context.items()
            if live.watches(action, name) or (shadowed is not None and shadowed.watches(action, name))
        }
        return msgspec.json.encode(msgspec.structs.replace(asked, context=seen))

    def _remember(self, key: tuple[frozenset[str], bytes], verdict: Verdict) -> None:
        self._remembered[key] = verdict
        if len(self._remembered) > REMEMBERED_MAX:
            self._remembered.popitem(last=False)

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


def read_sources(folder: Path) -> dict[str, str]:
    """Every file of a bundle, by name, in the order of names. Raises BundleRefused."""
    try:
        paths = [path for path in sorted(folder.iterdir()) if path.suffix == ".cedar" or path.name in OTHER_FILES]
        if sum(path.stat().st_size for path in paths) > BUNDLE_MAX_BYTES:
            raise BundleRefused([f"the bundle is larger than {BUNDLE_MAX_BYTES} bytes"])
        return {path.name: path.read_text(encoding="utf-8") for path in paths}
    except OSError as error:
        raise BundleRefused([f"the bundle {folder} cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise BundleRefused([f"the bundle {folder} has a file that is not UTF-8"]) from error


def compile_bundle(sources: dict[str, str]) -> Bundle:
    """The bundle, without its own tests (bundle_cases.py). Raises BundleRefused."""
    schema, shape = _schema(sources.get(SCHEMA_FILE))
    texts = {name: text for name, text in sources.items() if name.endswith(".cedar")}
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
    return _compile(_version(sources), "\n".join(texts.values()), schema, shape)


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


def _version(sources: dict[str, str]) -> str:
    """Digest over names and contents, tests included."""
    digest = hashlib.sha256()
    for name, text in sources.items():
        content = text.encode()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
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


def _repeated(names: list[str]) -> list[str]:
    return [f"two policies have @id({name!r})" for name in sorted({n for n in names if names.count(n) > 1})]


def _short(error: object) -> str:
    return " ".join(str(error).split())[:500]
