"""An alias as it is written in the models file, and the Alias it makes."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from services.router.cache.rules import CacheRules
from services.router.choosing.strategy import Strategy
from services.router.models.bad_file import BadModelsFile
from services.router.models.catalogue import Alias, Rule, Share
from services.router.models.condition import BadCondition, Condition
from services.router.models.deployment import Deployment
from services.router.models.deployment_entry import NAME_MAX_CHARS

RULES_MAX = 100
SHARES_MAX = 20
Deployments = Mapping[str, Deployment]


class ShareEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """So many of a hundred."""

    deployment: str
    percent: float


class RuleEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`when` left out is always. One of `use`: only these; `where`: only those of the alias's own that carry these
    labels; `prefer`: these, then the alias's own."""

    when: str = ""
    use: list[str] = []
    where: dict[str, str] = {}
    prefer: list[str] = []
    strategy: Strategy | None = None
    name: str = ""


class AliasEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a plain list of deployments is short for, and all that can be said besides.

    `affinity` left out: sessions stay with a deployment under every strategy but priority and cheapest.
    """

    deployments: list[str]
    strategy: Strategy = "priority"
    rules: list[RuleEntry] = []
    canary: list[ShareEntry] = []
    shadow: list[ShareEntry] = []
    fallback: list[str] = []
    affinity: bool | None = None
    hedge_after_s: float = 0.0
    cache: CacheRules | None = None


def aliases(entries: Mapping[str, AliasEntry], deployments: Deployments) -> dict[str, Alias]:
    """All of them, fallbacks resolved. Raises BadModelsFile."""
    made: dict[str, Alias] = {}
    maker = _Maker(entries, deployments, made)
    for name in entries:
        maker.alias(name, ())
    return {name: made[name] for name in entries}


def named(entry: AliasEntry) -> set[str]:
    """Every deployment that it names."""
    names = set(entry.deployments)
    for rule in entry.rules:
        names.update(rule.use, rule.prefer)
    names.update(share.deployment for share in (*entry.canary, *entry.shadow))
    return names


@dataclass(frozen=True, slots=True)
class _Maker:
    entries: Mapping[str, AliasEntry]
    deployments: Deployments
    made: dict[str, Alias]

    def alias(self, name: str, above: tuple[str, ...]) -> Alias:
        """`above`: the aliases that fall back to this one."""
        if name in self.made:
            return self.made[name]
        _check_name(name)
        entry = self.entries[name]
        alias = Alias(
            name,
            self._listed(f"alias {name}", entry.deployments),
            entry.strategy,
            self._rules(name, entry),
            self._shares(name, "canary", entry.canary, 100.0),
            self._shares(name, "shadow", entry.shadow, 100.0 * SHARES_MAX),
            tuple(self._fallback(name, each, above) for each in entry.fallback),
            entry.strategy not in ("priority", "cheapest") if entry.affinity is None else entry.affinity,
            entry.hedge_after_s,
            entry.cache,
        )
        if not 0 <= entry.hedge_after_s <= 3600:
            raise BadModelsFile(f"alias {name}: hedge_after_s must be 0 (never) to 3600 seconds")
        _check_embeddings(alias)
        self.made[name] = alias
        return alias

    def _listed(self, where: str, names: list[str]) -> tuple[Deployment, ...]:
        if not names:
            raise BadModelsFile(f"{where} lists no deployment: list one, or remove the {where.split()[0]}")
        if unknown := [each for each in names if each not in self.deployments]:
            raise BadModelsFile(f"{where} lists {unknown[0]}, which is not under deployments")
        if len(set(names)) != len(names):
            raise BadModelsFile(f"{where} lists a deployment twice")
        return tuple(self.deployments[each] for each in names)

    def _labelled(self, own: list[str], labels: Mapping[str, str]) -> list[str]:
        return [name for name in own if labels.items() <= self.deployments[name].labels.items()]

    def _fallback(self, name: str, to: str, above: tuple[str, ...]) -> Alias:
        path = (*above, name)
        if to not in self.entries:
            raise BadModelsFile(f"alias {name} falls back to {to}, which is not under aliases")
        if to in path:
            raise BadModelsFile(f"the fallbacks of aliases go in a circle: {' -> '.join((*path, to))}")
        return self.alias(to, path)

    def _shares(self, name: str, what: str, entries: list[ShareEntry], most: float) -> tuple[Share, ...]:
        if len(entries) > SHARES_MAX:
            raise BadModelsFile(f"alias {name}: {what} may name at most {SHARES_MAX} deployments")
        if entries:
            self._listed(f"alias {name} {what}", [entry.deployment for entry in entries])
        for entry in entries:
            if not 0 < entry.percent <= 100:
                raise BadModelsFile(f"alias {name}: {what} percent must be above 0 and at most 100")
        if sum(entry.percent for entry in entries) > most:
            raise BadModelsFile(f"alias {name}: the percents of {what} come to more than 100")
        return tuple(Share(self.deployments[entry.deployment], entry.percent) for entry in entries)

    def _rules(self, name: str, entry: AliasEntry) -> tuple[Rule, ...]:
        if len(entry.rules) > RULES_MAX:
            raise BadModelsFile(f"alias {name} has more than {RULES_MAX} rules")
        made: list[Rule] = []
        for number, each in enumerate(entry.rules, 1):
            where = f"rule {each.name or number} of alias {name}"
            rule = self._rule(where, str(number), each, entry.deployments)
            if made and made[-1].when is None:
                raise BadModelsFile(f"{where} can match nothing: the rule before it matches every request")
            if any(rule.when and before.when and rule.when.text == before.when.text for before in made):
                raise BadModelsFile(f"{where} can match nothing: a rule before it has the same condition")
            made.append(rule)
        return tuple(made)

    def _rule(self, where: str, number: str, entry: RuleEntry, own: list[str]) -> Rule:
        if sum(map(bool, (entry.use, entry.where, entry.prefer))) != 1:
            raise BadModelsFile(f"{where}: write either use (only these deployments), where or prefer (these first)")
        condition: Condition | None = None
        if entry.when:
            try:
                condition = Condition(entry.when)
            except BadCondition as error:
                raise BadModelsFile(f"{where}: when {error}") from None
            if condition.constant is False:
                raise BadModelsFile(f"{where} can match nothing: {entry.when[:80]!r} is always false")
            if condition.constant is True:
                condition = None
        names = entry.use or entry.prefer or self._labelled(own, entry.where)
        if not names:
            raise BadModelsFile(f"{where} can reach nobody: no deployment of the alias has the labels of where")
        chosen = self._listed(where, names)
        return Rule(entry.name or number, condition, chosen, bool(entry.prefer), entry.strategy)


def _check_name(name: str) -> None:
    if not name or len(name) > NAME_MAX_CHARS or not name.isprintable():
        raise BadModelsFile(f"an alias must be 1 to {NAME_MAX_CHARS} printable characters")


def _check_embeddings(alias: Alias) -> None:
    """Vectors of different models cannot be compared: falling back from one to the other would be silent nonsense."""
    everyone = [*alias.everyone(), *(each for fallback in alias.fallbacks for each in fallback.everyone())]
    models = {deployment.model for deployment in everyone if "embeddings" in deployment.kinds}
    if len(models) > 1:
        names = ", ".join(sorted(models))
        raise BadModelsFile(f"alias {alias.name} mixes embedding models ({names}): list one model only")
